#!/bin/sh
# Makes a Docker engine available for the tests in containers, with `docker compose`.
#
#   scripts/docker-engine.sh           nothing to do where both answer
#   scripts/docker-engine.sh config    prints the DOCKER_CONFIG with which `docker compose` is there
#   scripts/docker-engine.sh stop      ends the engine that it started, and no other
#
# It installs and starts something only with CI=true or LB_START_ENGINE=yes, and an engine only as
# root on Debian or Ubuntu: a server that runs as root is not brought in unasked. The engine runs
# until `stop` and inherits the scheduling class: `chrt -i 0 scripts/docker-engine.sh` gives
# containers only idle processor time.
#
# All that it keeps is in LB_ENGINE_DIR (/run/vllm-nginx-lb-engine): log, process id and, where
# docker has no `compose` of its own, a DOCKER_CONFIG with one, which `stop` removes. The rest in
# that directory is linked from the caller's own, so credentials and contexts stay.
#
# Exit codes: 0 there is an engine; 1 it could not be installed or started; 3 there is none, and
# this script may not start one.
set -eu

state=${LB_ENGINE_DIR:-/run/vllm-nginx-lb-engine}
log=$state/dockerd.log
pid_file=$state/dockerd.pid
own_config=$state/docker-config
plugin=$own_config/cli-plugins/docker-compose
callers_config=${DOCKER_CONFIG:-${HOME:-/}/.docker}
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

# why_not COMMAND: why this script may not bring it in; nothing where it may.
why_not() {
    if [ "${CI:-}" != true ] && [ "${LB_START_ENGINE:-}" != yes ]; then
        echo "set LB_START_ENGINE=yes to have one installed and started"
    elif command -v "$1" >/dev/null && [ "$1" != dockerd ]; then
        :
    elif [ "$(id -u)" -ne 0 ]; then
        echo "only root can install or start one"
    elif ! command -v "$1" >/dev/null && ! command -v apt-get >/dev/null; then
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
        # It is its process id file that tells it; read from a cold disk, that takes a while.
        if [ $tries -le 0 ] || { [ $tries -lt $((start_s * 2 - 40)) ] && ! find_own; }; then
            tail -n 5 "$log" >&2
            fail "dockerd did not start within $start_s s, or ended"
        fi
        sleep 0.5
    done
}

has_compose() {
    docker compose version >/dev/null 2>&1
}

has_own_config() {
    grep -qs "^$mark" "$plugin" && [ ! -L "$plugin" ]
}

# The caller's docker, with the DOCKER_CONFIG of before where that is what brings `compose`.
choose_config() {
    if ! has_compose && has_own_config; then
        DOCKER_CONFIG=$own_config
        export DOCKER_CONFIG
    fi
}

# link_all FROM TO: whatever is in a directory, but for what stands in the other already.
link_all() {
    for each in "$1"/* "$1"/.[!.]*; do
        name=${each##*/}
        { [ -e "$each" ] && [ "$name" != cli-plugins ] && [ "$name" != docker-compose ]; } || continue
        if [ ! -e "$2/$name" ] && [ ! -L "$2/$name" ]; then ln -s "$each" "$2/$name"; fi
    done
}

# Debian has only docker-compose 1.29, which `docker` does not know as a plug-in. The caller's own
# directory is left alone: that plug-in would stay, and would hide one that is installed later.
give_compose() {
    choose_config
    ! has_compose || return 0
    reason=$(why_not docker-compose)
    [ -z "$reason" ] || none "docker has no \`compose\`; $reason"
    if { [ -e "$plugin" ] || [ -L "$plugin" ]; } && ! has_own_config; then
        fail "$plugin is not of this script, and is left as it is"
    fi
    installed docker-compose docker-compose
    mkdir -p "${plugin%/*}"
    link_all "$callers_config" "$own_config"
    link_all "$callers_config/cli-plugins" "${plugin%/*}"
    cat >"$plugin.new" <<SHIM
#!/bin/sh
$mark
if [ "\$1" = docker-cli-plugin-metadata ]; then
    printf '{"SchemaVersion":"0.1.0","Vendor":"Debian","Version":"1.29.2"}\n'
    exit 0
fi
[ "\$1" != compose ] || shift
exec $(command -v docker-compose) "\$@"
SHIM
    chmod +x "$plugin.new"
    mv -f "$plugin.new" "$plugin"
    DOCKER_CONFIG=$own_config
    export DOCKER_CONFIG
    has_compose || fail "docker does not take up $plugin"
}

stop_engine() {
    # It holds links to what is the caller's, and these go rather than what they lead to.
    if has_own_config; then rm -rf "$own_config"; fi
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
config)
    choose_config
    echo "${DOCKER_CONFIG:-$callers_config}"
    exit 0
    ;;
stop)
    stop_engine
    exit 0
    ;;
*) fail "$1: expected nothing, config or stop" ;;
esac

if ! command -v docker >/dev/null || ! answers; then
    reason=$(why_not dockerd)
    [ -z "$reason" ] || none "no engine answers; $reason"
    mkdir -p "$state"
    start_engine
fi
give_compose
say "$(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
