#!/bin/sh
# Makes a Docker engine available for the tests in containers, with `docker compose`.
#
#   scripts/docker-engine.sh         nothing to do where `docker info` answers
#   scripts/docker-engine.sh stop    ends the engine that it started, and no other
#
# It installs and starts an engine only as root on Debian or Ubuntu, with CI=true or
# LB_START_ENGINE=yes: a server that runs as root is not brought in unasked. It runs until `stop`,
# keeps its log and process id in LB_ENGINE_DIR (/run/vllm-nginx-lb-engine), and inherits the
# scheduling class: `chrt -i 0 scripts/docker-engine.sh` gives containers only idle processor time.
#
# Exit codes: 0 there is an engine; 1 it could not be installed or started; 3 there is none, and
# this script may not start one.
set -eu

state=${LB_ENGINE_DIR:-/run/vllm-nginx-lb-engine}
log=$state/dockerd.log
pid_file=$state/dockerd.pid
plugin=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins/docker-compose
mark='# Stands here for docker-engine.sh of vllm-nginx-lb.'
start_s=60
stop_s=30

say() {
    echo "docker engine: $*"
}

fail() {
    say "$*" >&2
    exit 1
}

none() {
    say "$*" >&2
    exit 3
}

answers() {
    docker info >/dev/null 2>&1
}

# Sets pid to that of the engine which this script started, if it still runs. dockerd ends its file
# without a newline; one that ended may stay as a zombie where nobody waits for it.
find_own() {
    pid=$(cat "$pid_file" 2>/dev/null) && [ -n "$pid" ] || return 1
    { read -r _ name status _ <"/proc/$pid/stat"; } 2>/dev/null || return 1
    [ "$name" = '(dockerd)' ] && [ "$status" != Z ]
}

why_not() {
    if [ "${CI:-}" != true ] && [ "${LB_START_ENGINE:-}" != yes ]; then
        echo "set LB_START_ENGINE=yes to have one installed and started"
    elif [ "$(id -u)" -ne 0 ]; then
        echo "only root can start one"
    elif ! command -v dockerd >/dev/null && ! command -v apt-get >/dev/null; then
        echo "there is no apt to install one with"
    fi
}

# installed COMMAND PACKAGE...: after it the command is there.
installed() {
    command -v "$1" >/dev/null && return 0
    wanted=$1
    shift
    say "installing $*"
    mkdir -p "$state"
    for round in 1 2; do
        # The init scripts of a package start nothing in run level 1.
        # shellcheck disable=SC2086 # a list of words
        if RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
            install -y --no-install-recommends "$@" </dev/null >"$state/apt.log" 2>&1; then
            command -v "$wanted" >/dev/null && return 0
        fi
        [ $round = 2 ] || apt-get -qq update >>"$state/apt.log" 2>&1 || :
    done
    tail -n 5 "$state/apt.log" >&2
    fail "could not install $*"
}

start_engine() {
    # A pattern, since the name of the package is also that of a registry, and no file names one.
    installed dockerd '^docker[.]io$' iptables
    # A package that was installed may have started its service.
    ! answers || return 0
    say "starting dockerd, log in $log"
    setsid dockerd --pidfile "$pid_file" >"$log" 2>&1 </dev/null &
    tries=$((start_s * 2))
    until answers; do
        tries=$((tries - 1))
        if [ $tries -le 0 ] || { [ $tries -lt $((start_s * 2 - 4)) ] && ! find_own; }; then
            tail -n 5 "$log" >&2
            fail "dockerd did not start within $start_s s, or ended"
        fi
        sleep 0.5
    done
}

# Debian has only docker-compose 1.29, which `docker` does not know as a plug-in.
give_compose() {
    ! docker compose version >/dev/null 2>&1 || return 0
    if ! command -v docker-compose >/dev/null; then
        reason=$(why_not)
        [ -z "$reason" ] || none "neither \`docker compose\` nor docker-compose is there; $reason"
        installed docker-compose docker-compose
    fi
    mkdir -p "${plugin%/*}"
    cat >"$plugin" <<SHIM
#!/bin/sh
$mark
if [ "\$1" = docker-cli-plugin-metadata ]; then
    printf '{"SchemaVersion":"0.1.0","Vendor":"Debian","Version":"1.29.2"}\n'
    exit 0
fi
[ "\$1" != compose ] || shift
exec $(command -v docker-compose) "\$@"
SHIM
    chmod +x "$plugin"
    docker compose version >/dev/null || fail "docker does not take up $plugin"
}

stop_engine() {
    if grep -qs "^$mark" "$plugin"; then rm -f "$plugin"; fi
    if ! find_own; then
        say "none of ours runs"
        return
    fi
    kill "$pid"
    tries=$((stop_s * 2))
    while find_own; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "dockerd (pid $pid) did not end within $stop_s s"
        sleep 0.5
    done
    say "ended"
}

case ${1:-start} in
start) ;;
stop)
    stop_engine
    exit 0
    ;;
*) fail "$1: expected nothing, or stop" ;;
esac

if ! command -v docker >/dev/null || ! answers; then
    reason=$(why_not)
    [ -z "$reason" ] || none "no engine answers; $reason"
    mkdir -p "$state"
    start_engine
fi
give_compose
say "$(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
