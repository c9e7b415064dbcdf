# Nginx with the watcher beside it. From the top of the project:
#
#   docker build -f deploy/images/nginx.Dockerfile -t vllm-nginx-lb/nginx:0.1.0 .
#
# It installs nothing, so it needs the base image and no network.
ARG NGINX_IMAGE=nginxinc/nginx-unprivileged:1.30.4-alpine

FROM ${NGINX_IMAGE}

USER 0
# req belongs to the controller; an empty volume takes its owner from here. Errors go to the log of
# the container also where /var/log/vllm-nginx-lb is a volume, for readers of the access log.
RUN mkdir -p /etc/nginx/locations.d /usr/local/lib/vllm-nginx-lb \
        /var/log/vllm-nginx-lb /var/lib/vllm-nginx-lb \
    && cd /var/lib/vllm-nginx-lb \
    && mkdir req ack live \
    && chown 10001:10001 req \
    && chown 101:101 ack live /var/log/vllm-nginx-lb \
    && ln -s /dev/stderr /var/log/vllm-nginx-lb/error.log

COPY deploy/nginx/watcher.sh deploy/nginx/render.sh deploy/nginx/nginx.conf.template \
    /usr/local/lib/vllm-nginx-lb/
COPY deploy/images/nginx/39-vllm-nginx-lb-directories.sh deploy/nginx/40-vllm-nginx-lb.sh \
    /docker-entrypoint.d/
RUN chmod 0755 /docker-entrypoint.d/39-vllm-nginx-lb-directories.sh \
        /docker-entrypoint.d/40-vllm-nginx-lb.sh \
    && chmod 0644 /usr/local/lib/vllm-nginx-lb/*

# All that Nginx writes, but for the volumes, is in /tmp: with a tmpfs there, the root file system
# may be read-only. The status server is asked from other containers.
ENV LB_RENDER=on \
    LB_NGINX_CONF=/tmp/nginx/nginx.conf \
    LB_RUN_DIR=/tmp/nginx/cache \
    LB_PID=/tmp/nginx.pid \
    LB_STATUS_LISTEN=8081

USER 101
EXPOSE 8080 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8081/lb/generation"]
CMD ["nginx", "-c", "/tmp/nginx/nginx.conf", "-g", "daemon off;"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="vllm-nginx-lb nginx" \
      org.opencontainers.image.description="Nginx that takes its upstreams from the vllm-nginx-lb controller over a shared volume." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      vllm-nginx-lb.image="nginx"
