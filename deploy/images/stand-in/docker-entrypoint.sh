#!/bin/sh
# Entry point of the stand-in for the public Nginx images, and like theirs: before Nginx it sources
# /docker-entrypoint.d/*.envsh and runs /docker-entrypoint.d/*.sh, in the order of their names, as
# far as they may be executed. One that fails ends the container.
set -eu

say() {
    [ -n "${NGINX_ENTRYPOINT_QUIET_LOGS:-}" ] || printf 'docker-entrypoint.sh: %s\n' "$*"
}

case ${1:-} in
nginx | nginx-debug)
    for part in /docker-entrypoint.d/*; do
        if [ ! -x "$part" ]; then
            [ ! -e "$part" ] || say "ignoring $part, which may not be executed"
            continue
        fi
        case $part in
        *.envsh)
            say "sourcing $part"
            # shellcheck disable=SC1090 # whatever the image has
            . "$part"
            ;;
        *.sh)
            say "running $part"
            "$part"
            ;;
        *) say "ignoring $part" ;;
        esac
    done
    ;;
esac

exec "$@"
