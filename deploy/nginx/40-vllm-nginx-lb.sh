#!/bin/sh
# For /docker-entrypoint.d of the Nginx images: makes sure that Nginx can start, starts the watcher
# beside it, and returns. Works as root and as the user of the unprivileged image.
#
# Nginx does not start without its upstream file, nor with one that it refuses. In this order the
# first is taken that the whole configuration passes `nginx -t` with: the file that is there, the one
# kept from before it, one with the backends of LB_BACKENDS, one without backends (each request is a
# 502 until the controller knows better).
#
# A file of before may be older than the network: after `docker compose down` and `up` the servers
# have other addresses. So the names that stand in its comments are looked up anew.
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

# backends_of POOL: its share of what resolves of LB_BACKENDS.
backends_of() {
    for item in ${usable:-}; do
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
    put "$body"
    rm -f "$body"
}

# generation_of BODY: as the controller computes it.
generation_of() {
    sha256sum <"$1" | cut -c 1-16
}

# put BODY: makes it the live file, with its generation on top.
put() {
    {
        printf '# Written by vllm-nginx-lb. Do not edit: the next change overwrites it.\n'
        # shellcheck disable=SC2016 # a variable of Nginx
        printf 'map "" $lb_generation {\n    default "%s";\n}\n\n' "$(generation_of "$1")"
        cat "$1"
    } >"$live.seed" && mv -f "$live.seed" "$live"
}

accepted() {
    [ -f "$live" ] && said=$("$nginx" -t -c "$conf" 2>&1)
}

first_line() {
    printf '%s\n' "$said" | head -n 1
}

# find_getent: sets database to what getent is to be asked for; to nothing where it cannot be asked.
# Of the two `ahosts` gives IPv4 addresses too where a name has both kinds; an old Alpine lacks it.
find_getent() {
    for database in ahosts hosts ''; do
        [ -z "$database" ] || ! getent "$database" 127.0.0.1 >/dev/null 2>&1 || break
    done
    limit=
    if command -v timeout >/dev/null; then limit='timeout 5'; fi
}

# addresses_of: for each name on its input `NAME RANK ADDRESS` for each of its addresses, in the
# order of the controller's choice: IPv4 before IPv6, lowest first. Nothing for one that does not
# resolve. Many at once, since a name server that is silent takes seconds for each.
addresses_of() {
    # shellcheck disable=SC2016 # variables of the inner shell
    sort -u | grep '[^0-9.]' | grep -x -E '[A-Za-z0-9_][A-Za-z0-9_.-]*' |
        xargs -r -n 1 -P 32 sh -c '$1 getent "$2" "$3" 2>/dev/null | sed "s/^/$3 /"' \
            sh "$limit" "$database" |
        awk '$2 !~ /%/ { print $1, ($2 ~ /:/ ? "1 [" $2 "]" : "0 " $2) }' | sort -u
}

# renew: the live file gets the addresses that its names have now, if Nginx accepts that. A name that
# does not resolve keeps its address: a silent name server must not empty a pool. A file that is not
# whole, or that the controller did not write, stays as it is.
renew() {
    [ -f "$live" ] && [ -n "$database" ] || return
    body=$shared/live/.seed
    tail -n +6 "$live" >"$body"
    if grep -q -F -x -e "    default \"$(generation_of "$body")\";" "$live"; then
        renew_whole
    fi
    rm -f "$body" "$body.new" "$live.stale"
}

renew_whole() {
    # One address that is still among the answers stays, as it does with the controller.
    found=$(sed -n 's/^    server .*; # \(.*\):[0-9]*$/\1/p' "$body" | addresses_of |
        awk -v out="$body.new" '
            answering { answer[$1, ++answers[$1]] = $3; next }
            /^    server [^ ]+ .*; # [^ ]+:[0-9]+$/ {
                name = $NF
                sub(/:[0-9]+$/, "", name)
                port = substr($NF, length(name) + 1)
                stays = !answers[name]
                if (stays && !said[name]++) lost = lost " " name
                for (i = 1; i <= answers[name]; i++) if (answer[name, i] port == $2) stays = 1
                if (!stays) {
                    if (!said[name]++) moved = moved " " name
                    sub(/^    server [^ ]+/, "    server " answer[name, 1] port)
                }
            }
            { print >out }
            END { printf "%s;%s\n", lost, moved }' answering=1 - answering= "$body")
    lost=${found%;*}
    moved=${found#*;}
    [ -z "$lost" ] || log "what does not resolve keeps the address of before:$lost"
    [ -n "$moved" ] && cp "$live" "$live.stale" && put "$body.new" || return
    if accepted; then
        log "has another address than in the upstream file of before:$moved"
    else
        log "the upstream file cannot be used with the addresses of now: $(first_line)"
        mv -f "$live.stale" "$live"
    fi
}

# resolving_backends: LB_BACKENDS without those whose name does not resolve: for one of them Nginx
# would refuse all.
resolving_backends() {
    [ -n "$database" ] || {
        printf '%s' "$LB_BACKENDS"
        return
    }
    answers=$(for item in $LB_BACKENDS; do
        item=${item#*=}
        printf '%s\n' "${item%:*}"
    done | addresses_of | sed 's/ .*/ /' | tr -d '\n')
    for item in $LB_BACKENDS; do
        name=${item#*=}
        name=${name%:*}
        case $name in
        '['*) ;;
        *[!0-9.]*)
            case " $answers" in
            *" $name "*) ;;
            *)
                log "LB_BACKENDS: $item is left out: its name does not resolve"
                continue
                ;;
            esac
            ;;
        esac
        printf '%s ' "$item"
    done
}

ensure_live() {
    renew
    if accepted; then return; fi
    if [ -f "$live" ]; then
        log "the upstream file cannot be used: $(first_line)"
        mv -f "$live" "$shared/live/.refused"
    else
        log "there is no $live yet"
    fi
    if [ -f "$shared/live/.previous" ] && cp "$shared/live/.previous" "$live.seed"; then
        mv -f "$live.seed" "$live"
        renew
        if accepted; then
            log 'starts with the upstream file of before'
            return
        fi
    fi
    usable=$(resolving_backends)
    case $usable in
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
# the end of a file that was missing, so there is a new one at once. While that stays empty and the
# old one still grows, Nginx was not reached, and is told again.
keep_log_small() {
    log_file=${LB_LOG_DIR:-/var/log/nginx}/access.log
    while sleep 10; do
        if [ -f "$log_file" ] && [ "$(wc -c <"$log_file")" -gt "$LB_LOG_MAX_BYTES" ]; then
            mv -f "$log_file" "$log_file.1" || continue
        elif [ -s "$log_file" ] || [ ! -f "$log_file.1" ]; then
            continue
        elif [ -e "$log_file" ] && ! [ "$log_file.1" -nt "$log_file" ]; then
            continue
        fi
        : >>"$log_file" && touch "$log_file" &&
            kill -USR1 "$(cat "${LB_PID:-/run/nginx.pid}")" || log "cannot rotate $log_file"
    done
}

mkdir -p "$shared/req" "$shared/ack" "$shared/live" || log "cannot make the directories of $shared"
if [ "${LB_RENDER:-off}" = on ]; then
    if ! LB_UPSTREAM_FILE=${LB_UPSTREAM_FILE:-$live} sh "$scripts/render.sh" >"$conf.new"; then
        rm -f "$conf.new"
        # The entrypoint of the image ends with this; what render.sh said is then the last word.
        log "$conf is not written, and Nginx not started"
        exit 1
    fi
    cat "$conf.new" >"$conf"
    rm -f "$conf.new"
fi
find_getent
ensure_live
keep_watching &
case ${LB_LOG_MAX_BYTES:-} in
'') ;;
*[!0-9]*) log "LB_LOG_MAX_BYTES=$LB_LOG_MAX_BYTES: expected a number of bytes; no log is rotated" ;;
*) keep_log_small & ;;
esac
