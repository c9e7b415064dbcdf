#!/bin/sh
# Makes the directories of what Nginx and render.sh write, which a tmpfs does not have at its start.
set -eu

conf=${LB_NGINX_CONF:-/etc/nginx/nginx.conf}
mkdir -p "${conf%/*}" "${LB_RUN_DIR:-/var/cache/nginx}"
