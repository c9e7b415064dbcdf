#!/bin/sh
# Installs what is missing of: a Python that can make virtual environments, Nginx, Prometheus, and
# what else stands around the controller.
#
#   scripts/system-packages.sh                     the first three
#   scripts/system-packages.sh nginx prometheus    only these
#
# What is on the PATH already is left alone. Debian starts and enables a server when it installs it;
# the tests and the demo run their own on free ports, so here a new server stays off.
set -eu

here=$(dirname "$0")
policy=/usr/sbin/policy-rc.d         # asked by Debian before it starts a service
saved=$policy.before-vllm-nginx-lb   # the machine's own, while ours stands in
mark="# Stands here while system-packages.sh of vllm-nginx-lb runs as process "
as_root=                             # "sudo" where needed
others="prometheus-alertmanager prometheus-nginx-exporter mtail logrotate wrk systemd iproute2 \
procps curl openssl mmdebstrap"
new_services=                        # those that this run brings in
work=                                # a temporary directory for logs

# An ordinary user of Debian does not have the directories where nginx and dpkg's helpers live.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

say() {
    echo "system packages: $*"
}

fail() {
    say "$*" >&2
    exit 1
}

is_there() {
    case $1 in
        python) "$here/find-python.sh" >/dev/null ;;
        nginx) command -v nginx >/dev/null ;;
        prometheus) command -v prometheus >/dev/null && command -v promtool >/dev/null ;;
        prometheus-alertmanager)
            command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null
            ;;
        prometheus-nginx-exporter | mtail | logrotate | wrk | curl | openssl | mmdebstrap)
            command -v "$1" >/dev/null ;;
        systemd) command -v systemd-analyze >/dev/null ;;
        procps) command -v pgrep >/dev/null ;;
        iproute2) command -v ip >/dev/null ;;
        *) fail "$1 is none of: python nginx prometheus $others" ;;
    esac
}

packages_of() {
    case $1 in
        python) echo python3 python3-venv ;;
        *) echo "$1" ;;
    esac
}

service_exists() {
    for directory in /etc /run /usr/local/lib /usr/lib /lib; do
        [ ! -e "$directory/systemd/system/$1.service" ] || return 0
    done
    return 1
}

choose_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo >/dev/null || fail "not root, and there is no sudo; please do as root: $*"
    as_root=sudo
    say "using sudo to $*"
}

is_ours() {
    grep -qs "^$mark" "$policy"
}

# A run that was killed could not tidy up; one that still works must not be disturbed.
is_left_over() {
    is_ours && [ ! -d "/proc/$(sed -n "s/^$mark//p" "$policy")" ]
}

# Until take_policy_back, the new services may not start; all others are judged as before.
put_policy_in_place() {
    cat >"$work/policy" <<POLICY
#!/bin/sh
$mark$$
for word in "\$@"; do
    for new in $new_services; do
        [ "\${word%.service}" != "\$new" ] || exit 101
    done
done
[ ! -x $saved ] || exec $saved "\$@"
exit 0
POLICY
    if ! is_ours && { [ -e "$policy" ] || [ -L "$policy" ]; }; then
        $as_root mv "$policy" "$saved"
    fi
    $as_root install -m 755 "$work/policy" "$policy"
}

take_policy_back() {
    if [ -e "$saved" ] || [ -L "$saved" ]; then
        $as_root mv -f "$saved" "$policy"
    elif is_ours; then
        $as_root rm -f "$policy"
    fi
}

apt_get() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" \
        </dev/null >"$work/apt.log" 2>&1
}

install_packages() {
    # The lists may be old or locked, and mirrors fail now and then.
    for pause in 0 5 20 fail; do
        # shellcheck disable=SC2086 # a list of words
        apt_get install -y --no-install-recommends $1 && return 0
        [ $pause = fail ] || {
            say "once more, with fresh package lists"
            sleep $pause
            apt_get update || :
        }
    done
    cat "$work/apt.log" >&2
    fail "could not install: $1"
}

switch_off() {
    service_exists "$1" || return 0
    say "switching the new service off: $1"
    if [ -d /run/systemd/system ]; then
        $as_root systemctl --quiet disable --now "$1.service"
    else
        $as_root update-rc.d "$1" disable
    fi >"$work/service.log" 2>&1 || { cat "$work/service.log" >&2; fail "$1 could not be disabled"; }
}

# After an interrupted installation too: what came in so far is not to run at the next boot.
settle() {
    [ -n "$new_services" ] || return 0
    take_policy_back
    services=$new_services
    new_services=
    for service in $services; do switch_off "$service"; done
}

clean_up() {
    status=$?
    trap '' INT TERM HUP
    (settle) || status=1
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

[ "$#" -gt 0 ] || set -- python nginx prometheus

wanted=
services=
for part in "$@"; do
    if is_there "$part"; then continue; fi
    [ "$part" != python ] || [ -z "${PYTHON:-}" ] ||
        fail "$PYTHON is no Python >= 3.11 with venv and ensurepip"
    wanted="${wanted:+$wanted }$(packages_of "$part")"
    if [ "$part" != python ] && ! service_exists "$part"; then
        services="${services:+$services }$part"
    fi
done
if is_left_over; then
    choose_root "take back $policy, left over from a run that was killed"
    take_policy_back
fi
if [ -z "$wanted" ]; then
    say "nothing to do for $*"
    exit 0
fi

command -v apt-get >/dev/null || fail "no apt here; please install by hand (Python >= 3.11): $wanted"
choose_root "install $wanted"

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
work=$(mktemp -d)
if [ -n "$services" ]; then
    new_services=$services
    put_policy_in_place
fi

say "installing $wanted"
install_packages "$wanted"
settle

for part in "$@"; do
    is_there "$part" || fail "still no usable $part (Python >= 3.11) after installing: $wanted"
done
say "done"
