#!/bin/sh
# Renders nginx.conf.template: `render.sh > nginx.conf`. Every variable has a default. Times and sizes
# are written as Nginx writes them: 60s, 5m, 500ms; 8m, 128k. Every value that cannot be used is
# named; then nothing is rendered.
#
#   LB_LISTEN=8080                   entry point; options of `listen` may follow, such as ssl
#   LB_STATUS_LISTEN=127.0.0.1:8081  generation and stub_status; also unix:/path/to.sock
#   LB_STATUS_ALLOW="127.0.0.1 ::1"  addresses that may see stub_status
#   LB_UPSTREAM_FILE=/var/lib/vllm-nginx-lb/live/upstream.conf
#   LB_POOL=llm                      pool behind /v1/
#   LB_LOCATIONS=/etc/nginx/locations.d/*.conf  further locations, for several pools
#   LB_PASS_ALL=off                  on: every other path goes to the pool too, else it is a 404
#   LB_RUN_DIR=/var/cache/nginx      temporary files; must be there, and the workers write to it
#   LB_PID=/run/nginx.pid
#   LB_LOG_DIR=/var/log/nginx        access.log (JSON) and error.log
#   LB_LOG_LEVEL=notice              notice records reloads; error is the quietest sensible level
#   LB_USER=                         user of the workers; empty: the one Nginx was built with
#   LB_WORKERS=auto  LB_WORKER_CONNECTIONS=4096  LB_WORKER_FILES=16384
#   LB_CONNECT_TIMEOUT=5s  LB_READ_TIMEOUT=600s  LB_SEND_TIMEOUT=600s
#   LB_RETRY="error timeout http_500 http_502 http_503 http_504"
#   LB_RETRY_POST=on                 POST requests too, as long as no byte of an answer was sent
#   LB_RETRY_TRIES=3  LB_RETRY_TIMEOUT=30s      the first try counts
#   LB_RETRY_AFTER=1                 seconds until who found no free server may come again; half of
#                                    them are told one more
#   LB_BODY_MAX=100m  LB_BODY_BUFFER=8m
#   LB_KEEPALIVE=75s                 idle connections of clients
#   LB_KEEPALIVE_MIN=5s              idle connections outlive a reload that long (Nginx >= 1.27.4)
#   LB_NGINX=nginx                   asked for its version
#   LB_NGINX_VERSION=                such as 1.30.0; empty: asked
#   LB_TEMPLATE=                     empty: nginx.conf.template beside this script
set -eu

fail() {
    printf 'render.sh: %s\n' "$*" >&2
    exit 1
}

: "${LB_LISTEN:=8080}" "${LB_STATUS_LISTEN:=127.0.0.1:8081}" "${LB_STATUS_ALLOW=127.0.0.1 ::1}"
: "${LB_UPSTREAM_FILE:=/var/lib/vllm-nginx-lb/live/upstream.conf}" "${LB_POOL:=llm}"
: "${LB_LOCATIONS:=/etc/nginx/locations.d/*.conf}" "${LB_PASS_ALL:=off}"
: "${LB_RUN_DIR:=/var/cache/nginx}" "${LB_PID:=/run/nginx.pid}" "${LB_LOG_DIR:=/var/log/nginx}"
: "${LB_LOG_LEVEL:=notice}" "${LB_USER:=}"
: "${LB_WORKERS:=auto}" "${LB_WORKER_CONNECTIONS:=4096}" "${LB_WORKER_FILES:=16384}"
: "${LB_CONNECT_TIMEOUT:=5s}" "${LB_READ_TIMEOUT:=600s}" "${LB_SEND_TIMEOUT:=600s}"
: "${LB_RETRY:=error timeout http_500 http_502 http_503 http_504}" "${LB_RETRY_POST:=on}"
: "${LB_RETRY_TRIES:=3}" "${LB_RETRY_TIMEOUT:=30s}" "${LB_RETRY_AFTER:=1}"
: "${LB_BODY_MAX:=100m}" "${LB_BODY_BUFFER:=8m}"
: "${LB_KEEPALIVE:=75s}" "${LB_KEEPALIVE_MIN:=5s}"
: "${LB_NGINX:=nginx}" "${LB_NGINX_VERSION:=}"
: "${LB_TEMPLATE:=$(dirname "$0")/nginx.conf.template}"

faults=0
# fault MESSAGE: one more value that cannot be used.
fault() {
    printf 'render.sh: %s\n' "$*" >&2
    faults=$((faults + 1))
}

# Longer numbers overflow in Nginx. It knows months and years only where it counts whole seconds.
positive='[1-9][0-9]{0,8}'
n='[0-9]{1,9}'
time="(${n}w)?(${n}d)?(${n}h)?(${n}m)?(${n}s?)?(${n}ms)?"

# form_of NAME: sets form to what its value has to match, expected to the words for it; both are
# empty where any value will do.
form_of() {
    form=
    expected=
    case $1 in
    LB_WORKERS) form="auto|$positive" expected='auto or a whole number from 1' ;;
    LB_WORKER_CONNECTIONS | LB_WORKER_FILES) form=$positive expected='a whole number from 1' ;;
    LB_RETRY_TRIES) form=$n expected='a whole number; 0 sets no limit' ;;
    LB_RETRY_AFTER) form="0|$positive" expected='whole seconds' ;;
    # The second one is for the header Keep-Alive.
    LB_KEEPALIVE) form="$time( $time)?" expected='a time such as 60s, 5m or 500ms' ;;
    LB_*_TIMEOUT | LB_KEEPALIVE_MIN) form=$time expected='a time such as 60s, 5m or 500ms' ;;
    LB_BODY_MAX) form="$n[kKmMgG]?" expected='a size such as 128k, 100m or 1g' ;;
    LB_BODY_BUFFER) form="$n[kKmM]?" expected='a size such as 128k or 8m' ;;
    LB_LOG_LEVEL)
        form='debug|info|notice|warn|error|crit|alert|emerg'
        expected='debug, info, notice, warn, error, crit, alert or emerg'
        ;;
    LB_PASS_ALL | LB_RETRY_POST) form='on|off' expected='on or off' ;;
    esac
}

# version_at_least X.Y.Z: whether the Nginx to render for is that new.
version_at_least() {
    printf '%s %s\n' "$version" "$1" | awk '{
        split($1, have, "."); split($2, want, ".")
        for (i = 1; i <= 3; i++)
            if (have[i] + 0 != want[i] + 0) exit !(have[i] + 0 > want[i] + 0)
        exit 0
    }'
}

version=$LB_NGINX_VERSION
if [ -z "$version" ]; then
    version=$("$LB_NGINX" -v 2>&1 | sed -n 's|^nginx version: [^/]*/\([0-9.]*\).*|\1|p')
    [ -n "$version" ] || fail "$LB_NGINX -v names no version; set LB_NGINX_VERSION"
fi

script=
# substitute NAME VALUE: one more substitution; `\`, `&` and `|` mean something to sed.
substitute() {
    escaped=$(printf '%s\n' "$2" | sed 's/[\\&|]/\\&/g')
    script="$script
s|\${$1}|$escaped|g"
}

value=
for name in LB_PASS_ALL LB_RETRY_POST LB_LISTEN LB_STATUS_LISTEN LB_STATUS_ALLOW LB_UPSTREAM_FILE LB_POOL LB_LOCATIONS \
    LB_RUN_DIR LB_PID LB_LOG_DIR LB_LOG_LEVEL LB_USER LB_WORKERS LB_WORKER_CONNECTIONS \
    LB_WORKER_FILES LB_CONNECT_TIMEOUT LB_READ_TIMEOUT LB_SEND_TIMEOUT LB_RETRY LB_RETRY_TRIES \
    LB_RETRY_TIMEOUT LB_RETRY_AFTER LB_BODY_MAX LB_BODY_BUFFER LB_KEEPALIVE LB_KEEPALIVE_MIN; do
    eval "value=\$$name"
    case $value in
    # A directive of its own does not fit into a value.
    *[!A-Za-z0-9_./:*@=,\ \[\]-]*) fault "$name=$value: a character that no such value needs" ;;
    *)
        form_of "$name"
        [ -z "$form" ] || printf '%s\n' "$value" | grep -q -x -E -e "$form" ||
            fault "$name=$value: expected $expected"
        substitute "$name" "$value"
        ;;
    esac
done
[ $faults -eq 0 ] || exit 1

substitute RETRY_AFTER_LATER "$((LB_RETRY_AFTER + 1))"

substitute LINE_USER "${LB_USER:+user $LB_USER;}"

if version_at_least 1.27.4; then
    substitute LINE_KEEPALIVE_MIN "keepalive_min_timeout $LB_KEEPALIVE_MIN;"
else
    substitute LINE_KEEPALIVE_MIN ''
fi

if [ "$LB_RETRY_POST" = on ] && [ "$LB_RETRY" != off ]; then
    substitute WORD_RETRY_POST ' non_idempotent'
else
    substitute WORD_RETRY_POST ''
fi

if [ "$LB_PASS_ALL" = on ]; then
    substitute LINE_OTHERWISE "proxy_pass http://$LB_POOL;"
else
    substitute LINE_OTHERWISE 'return 404;'
fi

allowed=
for address in $LB_STATUS_ALLOW; do
    allowed="${allowed:+$allowed }allow $address;"
done
substitute LINE_STATUS_ALLOW "$allowed"

# A line left out leaves no blank behind.
sed "$script" "$LB_TEMPLATE" | sed 's/[[:space:]]*$//' | awk 'NF || !blank { print } { blank = !NF }'
