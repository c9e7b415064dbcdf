#!/bin/sh
# Process 1 of the container of docker-compose.yml: writes the configuration that NOTIFY_* ask for,
# and becomes Alertmanager. A fault in a variable ends the container, with its reason in the log.
set -eu

cd "$(dirname "$0")"
sh render.sh /run/alertmanager
exec /bin/alertmanager --config.file=/run/alertmanager/alertmanager.yml \
    --storage.path=/alertmanager --web.external-url="$ALERTMANAGER_EXTERNAL_URL" --cluster.listen-address= "$@"
