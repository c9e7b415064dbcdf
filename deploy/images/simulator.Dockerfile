# Simulated vLLM servers, the load generator and the inbox for notifications; for the demo and for
# tests, not for production. From the top of the project:
#
#   docker build -f deploy/images/simulator.Dockerfile -t vllm-nginx-lb/simulator:0.1.0 .
#
# The arguments are those of controller.Dockerfile; docs/images.md has them.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build

ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
ARG PIP_FIND_LINKS=/wheels
ARG SOURCE_DATE_EPOCH=1767225600
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0

COPY deploy/images/wheels /wheels
COPY deploy/images/simulator.lock deploy/images/finish.sh /locks/

RUN if ls /wheels/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1; fi \
    && python -m venv /build \
    && python -m venv --without-pip /opt/vllm-nginx-lb \
    && /build/bin/python -m pip --python /opt/vllm-nginx-lb/bin/python \
        install --quiet --no-compile --require-hashes -r /locks/simulator.lock

COPY simulator /source/simulator
COPY lab /source/lab

# They are no distribution packages, so they are put where Python looks.
RUN cp -R /source/simulator /source/lab \
        "$(/opt/vllm-nginx-lb/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && sh /locks/finish.sh /opt/vllm-nginx-lb

# So that build.sh finds the stages that no image needs any more.
LABEL vllm-nginx-lb.stage="simulator"


FROM ${PYTHON_IMAGE}

COPY --from=build /opt/vllm-nginx-lb /opt/vllm-nginx-lb

ENV PATH=/opt/vllm-nginx-lb/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

USER 10001:10001
EXPOSE 8000
# Right for the default command; the load and the inbox have checks of their own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "-c", "import socket, sys; s = socket.create_connection(('127.0.0.1', 8000), 2); s.sendall(b'GET /health HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(64))"]
CMD ["python", "-m", "simulator.server", "--host", "0.0.0.0", "--port", "8000"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vllm-nginx-lb simulator" \
      org.opencontainers.image.description="Simulated vLLM servers, a load generator and an inbox, to see vllm-nginx-lb at work." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      vllm-nginx-lb.image="simulator"
