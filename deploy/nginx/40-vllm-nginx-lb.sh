#!/bin/sh
# For /docker-entrypoint.d of the Nginx images: makes sure that Nginx can start, starts the watcher
# beside it, and returns. Works as root and as the user of the unprivileged image.
#
# Nginx does not start without its upstream file, nor with one that it refuses. In this order the
# first is taken that the whole configuration passes `nginx -t` with: the file that is there, the one
# kept from before it, one with the backends of LB_BACKENDS, one without backends (each request is a
# 502 until the controller knows better).
#
#   LB_SCRIPTS=/usr/local/lib/vllm-nginx-lb  where watcher.sh, render.sh and the template are
#   LB_SHARED_DIR=/var/lib/vllm-nginx-lb     parent of req, ack and live
#   LB_NGINX_CONF=/etc/nginx/nginx.conf
#   LB_RENDER=off                            on: render.sh writes LB_NGINX_CONF first
#   LB_POOL=llm   LB_POOLS=                  pools that the configuration names; further ones
#   LB_BACKENDS=                             host:port, or pool=host:port, separated by spaces
#                                            or commas
#   LB_LOG_MAX_BYTES=                        an access.log in LB_LOG_DIR that has grown beyond it
#                                            becomes access.log.1; empty: it may grow for ever
#   and those of watcher.sh and render.sh
set -u
umask 022
export LC_ALL=C

scripts=${LB_SCRIPTS:-/usr/local/lib/vllm-nginx-lb}
shared=${LB_SHARED_DIR:-/var/lib/vllm-nginx-lb}
conf=${LB_NGINX_CONF:-/etc/nginx/nginx.conf}
nginx=${LB_NGINX:-nginx}
pool=${LB_POOL:-llm}
live=$shared/live/upstream.conf
LB_BACKENDS=$(printf '%s' "${LB_BACKENDS:-}" | tr ',' ' ')

log() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# upstream POOL BACKENDS: one pool, byte for byte as the controller renders equal weights.
upstream() {
    servers=$(printf '%s\n' "$2" | tr -s ' ' '\n' | sort -u | sed '/^$/d')
    count=1
    lines='    server 127.0.0.1:9 weight=1 max_fails=2 fail_timeout=30s;'
    if [ -n "$servers" ]; then
        count=$(printf '%s\n' "$servers" | wc -l)
        lines=$(printf '%s\n' "$servers" |
            sed 's/.*/    server & weight=100 max_fails=2 fail_timeout=30s;/')
    fi
    zone=$(((128 + count + 127) / 128 * 128))
    [ "$zone" -ge 256 ] || zone=256
    printf 'upstream %s {\n    zone %s %sk;\n    least_conn;\n%s\n    keepalive 64;\n}\n' \
        "$1" "$1" "$zone" "$lines"
}

# backends_of POOL: its share of LB_BACKENDS.
backends_of() {
    for item in ${LB_BACKENDS:-}; do
        case $item in
        *=*) [ "${item%%=*}" != "$1" ] || printf '%s ' "${item#*=}" ;;
        *) [ "$1" != "$pool" ] || printf '%s ' "$item" ;;
        esac
    done
}

# seed with|without: writes live/upstream.conf with or without backends.
seed() {
    body=$shared/live/.seed
    # shellcheck disable=SC2086 # these are lists of words
    names=$(printf '%s\n' "$pool" ${LB_POOLS:-} "$(printf '%s\n' ${LB_BACKENDS:-} |
        sed -n 's/=.*//p')" | sed '/^$/d' | sort -u)
    first=yes
    for name in $names; do
        [ $first = yes ] || printf '\n'
        first=no
        case $1 in
        with) upstream "$name" "$(backends_of "$name")" ;;
        *) upstream "$name" '' ;;
        esac
    done >"$body"
    generation=$(sha256sum <"$body" | cut -c 1-16)
    {
        printf '# Written by vllm-nginx-lb. Do not edit: the next change overwrites it.\n'
        # shellcheck disable=SC2016 # a variable of Nginx
        printf 'map "" $lb_generation {\n    default "%s";\n}\n\n' "$generation"
        cat "$body"
    } >"$live.seed" && mv -f "$live.seed" "$live"
    rm -f "$body"
}

accepted() {
    [ -f "$live" ] && said=$("$nginx" -t -c "$conf" 2>&1)
}

first_line() {
    printf '%s\n' "$said" | head -n 1
}

ensure_live() {
    if accepted; then return; fi
    if [ -f "$live" ]; then
        log "the upstream file cannot be used: $(first_line)"
        mv -f "$live" "$shared/live/.refused"
    else
        log "there is no $live yet"
    fi
    if [ -f "$shared/live/.previous" ] && cp "$shared/live/.previous" "$live.seed"; then
        mv -f "$live.seed" "$live"
        if accepted; then
            log 'starts with the upstream file of before'
            return
        fi
    fi
    case ${LB_BACKENDS:-} in
    *[!\ ]*)
        seed with
        if accepted; then
            log 'starts with the backends of LB_BACKENDS'
            return
        fi
        log "the backends of LB_BACKENDS cannot be used: $(first_line)"
        ;;
    esac
    seed without
    if accepted; then
        log 'starts without backends: each request is a 502 until the controller has written some'
        return
    fi
    # The fault is elsewhere in the configuration: Nginx itself will say where.
    log "$(first_line)"
    if [ -f "$shared/live/.refused" ]; then mv -f "$shared/live/.refused" "$live"; fi
}

# keep_watching: the watcher, started again when something ends it. Nobody else in the container
# would, since process 1 is Nginx.
keep_watching() {
    while :; do
        sh "$scripts/watcher.sh"
        [ $? -ne 3 ] || return
        sleep 1
    done
}

# keep_log_small: for logs on a volume, where no logrotate comes by. A reader such as mtail begins at
# the end of a file that was missing, so there is a new one at once.
keep_log_small() {
    log_file=${LB_LOG_DIR:-/var/log/nginx}/access.log
    while sleep 10; do
        [ -f "$log_file" ] && [ "$(wc -c <"$log_file")" -gt "$LB_LOG_MAX_BYTES" ] || continue
        mv -f "$log_file" "$log_file.1" && : >"$log_file" &&
            kill -USR1 "$(cat "${LB_PID:-/run/nginx.pid}")" || log "cannot rotate $log_file"
    done
}

mkdir -p "$shared/req" "$shared/ack" "$shared/live" || log "cannot make the directories of $shared"
if [ "${LB_RENDER:-off}" = on ]; then
    LB_UPSTREAM_FILE=${LB_UPSTREAM_FILE:-$live} sh "$scripts/render.sh" >"$conf.new" &&
        cat "$conf.new" >"$conf"
    rm -f "$conf.new"
fi
ensure_live
keep_watching &
case ${LB_LOG_MAX_BYTES:-} in
'') ;;
*[!0-9]*) log "LB_LOG_MAX_BYTES=$LB_LOG_MAX_BYTES: expected a number of bytes; no log is rotated" ;;
*) keep_log_small & ;;
esac
