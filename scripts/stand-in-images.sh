#!/bin/sh
# Makes images out of Debian packages under the names of the public images that this project builds
# on and runs beside, for machines that reach a Debian mirror and no container registry.
#
#   scripts/stand-in-images.sh            makes those that are missing
#   scripts/stand-in-images.sh --list     prints the names, and which are stand-ins
#   scripts/stand-in-images.sh --remove   takes the stand-ins away again, and nothing else
#
#   DEBIAN_MIRROR=   where mmdebstrap finds the packages; empty: the mirror that it knows
#
# A stand-in has the user, the paths, the entry point and the port of what it stands for, in the
# version that Debian 12 has. Grafana is not in Debian: its stand-in only answers /api/health. Each
# bears the label vllm-nginx-lb.stand-in; an image without it is never replaced or removed.
#
# Needs a Docker engine and, as mmdebstrap does, root or user namespaces.
set -eu

label=vllm-nginx-lb.stand-in
base=vllm-nginx-lb/stand-in:bookworm
debian=debian:bookworm-slim
python=python:3.11-slim-bookworm
nginx=nginxinc/nginx-unprivileged:1.30.4-alpine
prometheus=prom/prometheus:v3.14.0
alertmanager=prom/alertmanager:v0.34.0
exporter=nginx/nginx-prometheus-exporter:1.5.3
grafana=grafana/grafana:13.2.2
all="$debian $python $nginx $prometheus $alertmanager $exporter $grafana"
packages=ca-certificates,python3,python3-venv,python3-pip,busybox,nginx-light,prometheus,\
prometheus-alertmanager,prometheus-nginx-exporter

say() {
    echo "stand-in images: $*"
}

fail() {
    say "$*" >&2
    exit 1
}

# kind IMAGE: prints absent, stand-in or real.
kind() {
    format="{{index .Config.Labels \"$label\"}}"
    if ! found=$(docker image inspect --format "$format" "$1" 2>/dev/null); then
        echo absent
    elif [ -n "$found" ]; then
        echo stand-in
    else
        echo real
    fi
}

list() {
    for image in $all; do
        printf '%-48s %s\n' "$image" "$(kind "$image")"
    done
}

remove() {
    for image in $all $base; do
        [ "$(kind "$image")" != stand-in ] || docker image rm --force "$image" >/dev/null
    done
    say "removed"
}

# One file system for all: the layers above it hold only links and settings.
make_base() {
    [ "$(kind $base)" = absent ] || return 0
    command -v mmdebstrap >/dev/null || {
        [ "$(id -u)" -eq 0 ] || fail "there is no mmdebstrap; install it"
        "$(dirname "$0")/system-packages.sh" mmdebstrap
    }
    for pause in 5 20 fail; do
        say "making $base"
        if debian >"$work/base.tar"; then break; fi
        [ $pause != fail ] || fail "mmdebstrap could not make $base"
        say "once more in $pause s"
        sleep $pause
    done
    docker import --change "LABEL $label=base" "$work/base.tar" "$base" >/dev/null
    rm "$work/base.tar"
    [ "$(kind $base)" = stand-in ] || fail "$base was not made"
}

# debian: prints the file system as a tar archive.
debian() {
    # The number of the public images is taken before a package takes it for its own user.
    # shellcheck disable=SC2016 # $1 is that of the hook
    mmdebstrap --quiet --variant=minbase --include="$packages" \
        --essential-hook='echo nginx:x:101:101::/nonexistent:/bin/false >>"$1/etc/passwd"' \
        --essential-hook='echo nginx:x:101: >>"$1/etc/group"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm - ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
}

# derive IMAGE: builds it from the Dockerfile on standard input, which follows FROM and the label.
derive() {
    if [ "$(kind "$1")" != absent ]; then
        say "$1 is there: $(kind "$1")"
        cat >/dev/null
        return
    fi
    {
        echo "FROM $base"
        echo "LABEL $label=$1"
        cat
    } >"$work/Dockerfile"
    say "making $1"
    DOCKER_BUILDKIT=0 docker build --quiet --network none --tag "$1" "$work" \
        >"$work/build.log" 2>&1 || {
        cat "$work/build.log" >&2
        fail "$1 could not be made"
    }
}

derive_all() {
    derive $debian <<'END'
CMD ["bash"]
END
    derive $python <<'END'
RUN ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3 \
    && ln -s /usr/bin/pip3 /usr/local/bin/pip && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
CMD ["python3"]
END
    cp "$parts"/* "$work"
    derive $nginx <<'END'
COPY docker-entrypoint.sh /
# Debian's configuration loads modules and has another user; the image runs as 101 throughout.
RUN chmod 0755 /docker-entrypoint.sh && mkdir -p /docker-entrypoint.d /etc/nginx/conf.d \
    && ln -s /bin/busybox /usr/local/bin/wget \
    && ln -sf /dev/stdout /var/log/nginx/access.log && ln -sf /dev/stderr /var/log/nginx/error.log \
    && mkdir -p /var/cache/nginx && chown -R 101:0 /var/cache/nginx /etc/nginx /var/lib/nginx \
    && chown 101:101 /var/log/nginx && printf '%s\n' \
    'pid /tmp/nginx.pid;' 'error_log /var/log/nginx/error.log notice;' 'events {}' \
    'http {' '    client_body_temp_path /tmp/client_temp;' '    proxy_temp_path /tmp/proxy_temp;' \
    '    fastcgi_temp_path /tmp/fastcgi_temp;' '    uwsgi_temp_path /tmp/uwsgi_temp;' \
    '    scgi_temp_path /tmp/scgi_temp;' '    access_log /var/log/nginx/access.log;' \
    '    include /etc/nginx/conf.d/*.conf;' '}' >/etc/nginx/nginx.conf \
    && printf 'server {\n    listen 8080;\n    root /var/www/html;\n}\n' \
    >/etc/nginx/conf.d/default.conf && rm -rf /etc/nginx/modules-enabled /etc/nginx/sites-enabled
EXPOSE 8080
STOPSIGNAL SIGQUIT
USER 101
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["nginx", "-g", "daemon off;"]
END
    derive $prometheus <<'END'
RUN ln -s /bin/busybox /bin/wget && mkdir -p /prometheus && chown 65534:65534 /prometheus
WORKDIR /prometheus
EXPOSE 9090
VOLUME /prometheus
USER nobody
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
    derive $alertmanager <<'END'
RUN ln -s /bin/busybox /bin/wget && ln -s /usr/bin/prometheus-alertmanager /bin/alertmanager \
    && mkdir -p /etc/alertmanager /alertmanager && chown 65534:65534 /alertmanager \
    && printf 'route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n' \
    >/etc/alertmanager/alertmanager.yml
WORKDIR /alertmanager
EXPOSE 9093
VOLUME /alertmanager
USER nobody
ENTRYPOINT ["/bin/alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]
END
    # Both releases accept one dash and two.
    derive $exporter <<'END'
RUN ln -s /usr/bin/prometheus-nginx-exporter /usr/bin/nginx-prometheus-exporter
EXPOSE 9113
USER 1001:1001
ENTRYPOINT ["/usr/bin/nginx-prometheus-exporter"]
END
    derive $grafana <<'END'
COPY grafana.py /usr/share/grafana/
RUN ln -s /bin/busybox /bin/wget && mkdir -p /etc/grafana/provisioning/dashboards \
    /etc/grafana/provisioning/datasources /var/lib/grafana && chown -R 472:0 /var/lib/grafana
EXPOSE 3000
USER 472
ENTRYPOINT ["python3", "/usr/share/grafana/grafana.py"]
END
}

parts=$(dirname "$0")/../deploy/images/stand-in
docker info >/dev/null 2>&1 || fail "no Docker engine answers"
case ${1:-make} in
make) ;;
--list)
    list
    exit 0
    ;;
--remove)
    remove
    exit 0
    ;;
*) fail "$1: expected nothing, --list or --remove" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
missing=
for image in $all; do
    [ "$(kind "$image")" != absent ] || missing=yes
done
if [ -z "$missing" ]; then
    say "nothing to do"
    exit 0
fi
make_base
derive_all
say "done"
