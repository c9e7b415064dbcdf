# mtail with the program that makes metrics of Nginx's access log. From the top of the project:
#
#   docker build -f deploy/images/mtail.Dockerfile -t vllm-nginx-lb/mtail:0.1.0 .
#
# There is no public image of mtail, so it is Debian's, out of deploy/images/wheels when it is there
# (mtail_*.deb), else from the mirror.
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${DEBIAN_IMAGE} AS build

# Such as http://mirror.example/debian; empty: the mirror that the base image names.
ARG DEBIAN_MIRROR
ARG SOURCE_DATE_EPOCH=1767225600

COPY deploy/images/wheels /wheels
COPY deploy/images/mtail.sh /locks/
RUN sh /locks/mtail.sh /package

# So that build.sh finds the stages that no image needs any more.
LABEL vllm-nginx-lb.stage="mtail"


FROM ${DEBIAN_IMAGE}

COPY --from=build /package/usr/bin/mtail /usr/bin/mtail
COPY --from=build /package/usr/share/doc/mtail/copyright /usr/share/doc/mtail/copyright
COPY deploy/mtail/nginx_lb.mtail /etc/mtail/
RUN chmod 0644 /etc/mtail/nginx_lb.mtail

# One thread reads 17,000 lines a second.
ENV GOMAXPROCS=1 GOMEMLIMIT=64MiB

USER 10001:10001
EXPOSE 3903
# The image has neither curl nor wget.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3903 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && read -r answer <&3 && [[ $answer == *' 200 '* ]]"]
ENTRYPOINT ["mtail"]
CMD ["--progs", "/etc/mtail/nginx_lb.mtail", "--logs", "/var/log/nginx/access.log", \
     "--address", "0.0.0.0", "--port", "3903", "--logtostderr", "--emit_prog_label=false", \
     "--vm_logs_runtime_errors=false"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vllm-nginx-lb mtail" \
      org.opencontainers.image.description="Makes metrics of the access log of vllm-nginx-lb." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      vllm-nginx-lb.image="mtail"
