# The controller. From the top of the project:
#
#   docker build -f deploy/images/controller.Dockerfile -t vllm-nginx-lb/controller:0.1.0 .
#
# docs/images.md has the arguments, and how to build where no registry can be reached. It needs no
# BuildKit and, with deploy/images/wheels filled, no network.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build

# Docker itself knows HTTP_PROXY, HTTPS_PROXY and NO_PROXY as arguments, and keeps them out of the
# image. pip reads these; one that is not given is not set.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
ARG PIP_FIND_LINKS=/wheels
# The start of 2026: no file says when the image was built.
ARG SOURCE_DATE_EPOCH=1767225600
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_INPUT=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0

COPY deploy/images/wheels /wheels
COPY deploy/images/build.lock requirements.lock deploy/images/finish.sh /locks/

# One environment builds, the other is shipped. Neither has anything that its lock does not pin. With
# wheels in the folder, no index is asked.
RUN if ls /wheels/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1; fi \
    && python -m venv /build \
    && /build/bin/python -m pip install --quiet --require-hashes -r /locks/build.lock \
    && python -m venv --without-pip /opt/vllm-nginx-lb \
    && /build/bin/python -m pip --python /opt/vllm-nginx-lb/bin/python \
        install --quiet --no-compile --require-hashes -r /locks/requirements.lock

COPY LICENSE README.md pyproject.toml /source/
COPY controller /source/controller

RUN /build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation -w /dist /source \
    && /build/bin/python -m pip --python /opt/vllm-nginx-lb/bin/python \
        install --quiet --no-compile --no-deps --no-index /dist/*.whl \
    && sh /locks/finish.sh /opt/vllm-nginx-lb

# So that build.sh finds the stages that no image needs any more.
LABEL vllm-nginx-lb.stage="controller"


FROM ${PYTHON_IMAGE}

# An empty volume takes its owner from here: req and state are the controller's, ack and live are
# written by the watcher beside Nginx.
RUN mkdir -p /etc/vllm-nginx-lb /var/lib/vllm-nginx-lb \
    && cd /var/lib/vllm-nginx-lb \
    && mkdir req state ack live \
    && chown 10001:10001 req state \
    && chown 101:101 ack live

COPY --from=build /opt/vllm-nginx-lb /opt/vllm-nginx-lb

# The bytecode is there, and nothing is to write more.
ENV PATH=/opt/vllm-nginx-lb/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

USER 10001:10001
EXPOSE 9808
# A bare socket: 25 ms of processor time, against 65 with urllib and 475 with `status`, for ever.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-IS", "-c", "import socket, sys; s = socket.create_connection(('127.0.0.1', 9808), 2); s.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n'); sys.exit(b' 200 ' not in s.recv(64))"]
ENTRYPOINT ["vllm-nginx-lb"]
CMD ["run"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vllm-nginx-lb controller" \
      org.opencontainers.image.description="Keeps Nginx upstream weights true to what each vLLM or SGLang instance can carry." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      vllm-nginx-lb.image="controller"
