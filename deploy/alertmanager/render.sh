#!/bin/sh
# Writes the configuration of Alertmanager into a directory: `render.sh /etc/prometheus/notify`.
# Without any variable it starts, tells nobody, and shows all alerts in its pages.
#
# Where the links in a notification lead (no link, or a path only, while empty):
#   NOTIFY_RUNBOOK_URL=              what comes before docs/runbook/..., such as
#                                    https://git.example.com/vllm-nginx-lb/blob/main
#   NOTIFY_GRAFANA_URL=              such as https://grafana.example.com
#   Those to Alertmanager and Prometheus follow their own --web.external-url.
# Who is told. A receiver is on when its first variable is set; files hold one line, and nothing else
# may read them but Alertmanager:
#   NOTIFY_EMAIL_TO=                 addresses, separated by commas
#   NOTIFY_EMAIL_FROM=               needed with it
#   NOTIFY_SMTP=                     host:port, needed with it
#   NOTIFY_SMTP_TLS=on               off: without TLS, for a relay on this host
#   NOTIFY_SMTP_USER=  NOTIFY_SMTP_PASSWORD_FILE=      this file without a newline at its end
#   NOTIFY_SLACK_URL_FILE=           URL of an incoming webhook
#   NOTIFY_SLACK_CHANNEL=            only for webhooks that are free to choose
#   NOTIFY_PAGERDUTY_KEY_FILE=       integration key of Events API v2; critical alerts only
#   NOTIFY_PAGERDUTY_URL=            empty: https://events.pagerduty.com/v2/enqueue
#   NOTIFY_WEBHOOK_URL_FILE=         URL that takes Alertmanager's own JSON
#   NOTIFY_WEBHOOK_TOKEN_FILE=       sent to it as a bearer token
#   NOTIFY_DINGTALK_URL_FILE=        URL of an adapter, not of the robot; see docs/notifications.md
#   NOTIFY_WECOM_BOT_URL_FILE=       URL of an adapter, not of the robot
#   NOTIFY_WECOM_CORP_ID=            WeCom by an application of the company, without an adapter
#   NOTIFY_WECOM_AGENT_ID=  NOTIFY_WECOM_SECRET_FILE=  needed with it
#   NOTIFY_WECOM_TO=@all             users, separated by |
#   NOTIFY_WECOM_URL=                empty: https://qyapi.weixin.qq.com/cgi-bin/
#   NOTIFY_WATCHDOG_URL_FILE=        dead-man's switch: URL that expects to be called
# The alerts of the monitoring itself go to the same places, unless told otherwise:
#   NOTIFY_MONITORING_EMAIL_TO=  NOTIFY_MONITORING_SLACK_URL_FILE=
#   NOTIFY_MONITORING_PAGERDUTY_KEY_FILE=
# When:
#   NOTIFY_WARNINGS=always           working-hours: what still lasts is told when they begin
#   NOTIFY_INFO=off                  always, working-hours
#   NOTIFY_WORKING_DAYS=monday:friday  NOTIFY_WORKING_HOURS=08:00-18:00  NOTIFY_TIME_ZONE=UTC
#   NOTIFY_GROUP_WAIT=30s  NOTIFY_GROUP_INTERVAL=5m
#   NOTIFY_REPEAT_CRITICAL=1h  NOTIFY_REPEAT_WARNING=12h   while nothing changes
#   NOTIFY_WATCHDOG_EVERY=1m
# How it is written:
#   NOTIFY_GROUP=                    group of Alertmanager's user, who alone may read a configuration
#                                    that had to take up a secret
#   NOTIFY_CHECK_FILES=on            off: the files are on another machine
#   NOTIFY_VERSION=                  such as 0.34.0; empty: Alertmanager is asked
set -eu
# A to Z are the same characters everywhere.
export LC_ALL=C

fail() {
    printf 'render.sh: %s\n' "$*" >&2
    exit 1
}

: "${NOTIFY_RUNBOOK_URL:=}" "${NOTIFY_GRAFANA_URL:=}"
: "${NOTIFY_EMAIL_TO:=}" "${NOTIFY_EMAIL_FROM:=}" "${NOTIFY_SMTP:=}" "${NOTIFY_SMTP_TLS:=on}"
: "${NOTIFY_SMTP_USER:=}" "${NOTIFY_SMTP_PASSWORD_FILE:=}"
: "${NOTIFY_SLACK_URL_FILE:=}" "${NOTIFY_SLACK_CHANNEL:=}"
: "${NOTIFY_PAGERDUTY_KEY_FILE:=}" "${NOTIFY_PAGERDUTY_URL:=}"
: "${NOTIFY_WEBHOOK_URL_FILE:=}" "${NOTIFY_WEBHOOK_TOKEN_FILE:=}"
: "${NOTIFY_DINGTALK_URL_FILE:=}" "${NOTIFY_WECOM_BOT_URL_FILE:=}"
: "${NOTIFY_WECOM_CORP_ID:=}" "${NOTIFY_WECOM_AGENT_ID:=}" "${NOTIFY_WECOM_SECRET_FILE:=}"
: "${NOTIFY_WECOM_TO:=@all}" "${NOTIFY_WECOM_URL:=}" "${NOTIFY_WATCHDOG_URL_FILE:=}"
: "${NOTIFY_MONITORING_EMAIL_TO:=$NOTIFY_EMAIL_TO}"
: "${NOTIFY_MONITORING_SLACK_URL_FILE:=$NOTIFY_SLACK_URL_FILE}"
: "${NOTIFY_MONITORING_PAGERDUTY_KEY_FILE:=$NOTIFY_PAGERDUTY_KEY_FILE}"
: "${NOTIFY_WARNINGS:=always}" "${NOTIFY_INFO:=off}"
: "${NOTIFY_WORKING_DAYS:=monday:friday}" "${NOTIFY_WORKING_HOURS:=08:00-18:00}"
: "${NOTIFY_TIME_ZONE:=UTC}" "${NOTIFY_GROUP_WAIT:=30s}" "${NOTIFY_GROUP_INTERVAL:=5m}"
: "${NOTIFY_REPEAT_CRITICAL:=1h}" "${NOTIFY_REPEAT_WARNING:=12h}" "${NOTIFY_WATCHDOG_EVERY:=1m}"
: "${NOTIFY_GROUP:=}" "${NOTIFY_CHECK_FILES:=on}" "${NOTIFY_VERSION:=}"

[ "$#" -eq 1 ] || fail "expected one argument, the directory to write into"
here=$(dirname "$0")
target=$1
[ -d "$target" ] || fail "$target: no such directory"

# --- what was asked for, checked -----------------------------------------------------------------

# one_of NAME VALUE ALLOWED...: the value is one of those allowed.
one_of() {
    name=$1 value=$2
    shift 2
    for allowed in "$@"; do [ "$value" != "$allowed" ] || return 0; done
    fail "$name=$value: expected one of $*"
}

# shaped NAME VALUE PATTERN EXPECTED: the value as a whole fits. For grep one line of it would do,
# and the others would become lines of the configuration.
shaped() {
    case $2 in
    *'
'*) ;;
    *) ! printf '%s\n' "$2" | grep -Eqx "$3" || return 0 ;;
    esac
    fail "$1=$2: expected $4"
}

# needs NAME OTHER VALUE: NAME is of no use without OTHER.
needs() {
    [ -n "$3" ] || fail "$1 is set, so $2 is needed"
}

value=
for name in EMAIL_TO EMAIL_FROM SMTP SMTP_USER SLACK_CHANNEL WECOM_CORP_ID WECOM_AGENT_ID WECOM_TO \
    MONITORING_EMAIL_TO WORKING_DAYS TIME_ZONE GROUP VERSION; do
    eval "value=\$NOTIFY_$name"
    case $value in
    # What stands between quotes must not end them.
    *[!A-Za-z0-9_./:@,+#\|\ \<\>=-]*) fail "NOTIFY_$name=$value: a character that no such value needs" ;;
    esac
done

for name in RUNBOOK_URL GRAFANA_URL PAGERDUTY_URL WECOM_URL; do
    eval "value=\$NOTIFY_$name"
    case $value in
    '') ;;
    *[!A-Za-z0-9_./:@~%+-]*) fail "NOTIFY_$name=$value: expected a URL without a query" ;;
    http://?* | https://?*) ;;
    *) fail "NOTIFY_$name=$value: expected http:// or https://" ;;
    esac
done

# Go's notation of durations, as Alertmanager reads it, in one unit.
for name in GROUP_WAIT GROUP_INTERVAL REPEAT_CRITICAL REPEAT_WARNING WATCHDOG_EVERY; do
    eval "value=\$NOTIFY_$name"
    shaped "NOTIFY_$name" "$value" '[1-9][0-9]*(ms|s|m|h|d)' "a duration such as 30s, 5m or 12h"
done

for name in SMTP_PASSWORD_FILE SLACK_URL_FILE PAGERDUTY_KEY_FILE WEBHOOK_URL_FILE \
    WEBHOOK_TOKEN_FILE DINGTALK_URL_FILE WECOM_BOT_URL_FILE WECOM_SECRET_FILE WATCHDOG_URL_FILE \
    MONITORING_SLACK_URL_FILE MONITORING_PAGERDUTY_KEY_FILE; do
    eval "value=\$NOTIFY_$name"
    case $value in
    '') continue ;;
    *[!A-Za-z0-9_./@%+-]*) fail "NOTIFY_$name=$value: a character that no such value needs" ;;
    /*) ;;
    # Alertmanager would look for it where it happened to be started.
    *) fail "NOTIFY_$name=$value: expected a path that begins with /" ;;
    esac
    [ "$NOTIFY_CHECK_FILES" = on ] || continue
    # Alertmanager itself would say so only when it has something to send.
    [ -r "$value" ] || fail "NOTIFY_$name=$value: cannot be read"
    [ "$(grep -c . "$value")" -eq 1 ] || fail "NOTIFY_$name=$value: expected one line"
done

if [ "$NOTIFY_CHECK_FILES" = on ] && [ -n "$NOTIFY_SMTP_PASSWORD_FILE" ] &&
    [ "$(tail -c 1 "$NOTIFY_SMTP_PASSWORD_FILE" | tr -d '\r\n')" = '' ]; then
    # Alertmanager 0.25 sends all of the file; all others take a line with its end.
    fail "NOTIFY_SMTP_PASSWORD_FILE=$NOTIFY_SMTP_PASSWORD_FILE: ends with a newline, which would be" \
        "taken for a part of the password; write it with printf %s"
fi
one_of NOTIFY_SMTP_TLS "$NOTIFY_SMTP_TLS" on off
one_of NOTIFY_WARNINGS "$NOTIFY_WARNINGS" always working-hours
one_of NOTIFY_INFO "$NOTIFY_INFO" off always working-hours
one_of NOTIFY_CHECK_FILES "$NOTIFY_CHECK_FILES" on off
shaped NOTIFY_WORKING_HOURS "$NOTIFY_WORKING_HOURS" \
    '[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]' "a time of day and another, 08:00-18:00"
# Tags of releases begin with a v. A version that is none would count as the newest.
NOTIFY_VERSION=${NOTIFY_VERSION#v}
[ -z "$NOTIFY_VERSION" ] || shaped NOTIFY_VERSION "$NOTIFY_VERSION" \
    '(0|[1-9][0-9]*)\.[0-9]+(\.[0-9]+)?' "a version such as 0.34.0"
if [ -n "$NOTIFY_MONITORING_EMAIL_TO" ]; then
    needs NOTIFY_EMAIL_TO NOTIFY_EMAIL_FROM "$NOTIFY_EMAIL_FROM"
    needs NOTIFY_EMAIL_TO NOTIFY_SMTP "$NOTIFY_SMTP"
fi
[ -z "$NOTIFY_SMTP_USER" ] ||
    needs NOTIFY_SMTP_USER NOTIFY_SMTP_PASSWORD_FILE "$NOTIFY_SMTP_PASSWORD_FILE"
[ -z "$NOTIFY_WEBHOOK_TOKEN_FILE" ] ||
    needs NOTIFY_WEBHOOK_TOKEN_FILE NOTIFY_WEBHOOK_URL_FILE "$NOTIFY_WEBHOOK_URL_FILE"
if [ -n "$NOTIFY_WECOM_CORP_ID" ]; then
    needs NOTIFY_WECOM_CORP_ID NOTIFY_WECOM_AGENT_ID "$NOTIFY_WECOM_AGENT_ID"
    needs NOTIFY_WECOM_CORP_ID NOTIFY_WECOM_SECRET_FILE "$NOTIFY_WECOM_SECRET_FILE"
fi

# --- what this Alertmanager can read from files --------------------------------------------------

# Before 0.26 a webhook takes its URL from the configuration only.
can_read_urls=
if [ -n "$NOTIFY_WEBHOOK_URL_FILE$NOTIFY_DINGTALK_URL_FILE$NOTIFY_WECOM_BOT_URL_FILE$NOTIFY_WATCHDOG_URL_FILE" ]; then
    for command in prometheus-alertmanager alertmanager; do
        [ -z "$NOTIFY_VERSION" ] && command -v "$command" >/dev/null || continue
        NOTIFY_VERSION=$("$command" --version 2>&1 | sed -n 's/^alertmanager, version \([0-9.]*\).*/\1/p')
    done
    [ -n "$NOTIFY_VERSION" ] || fail "no Alertmanager on the PATH to ask; set NOTIFY_VERSION"
    minor=$(printf '%s\n' "$NOTIFY_VERSION" | sed -n 's/^0\.\([0-9][0-9]*\).*/\1/p')
    [ "${minor:-99}" -lt 26 ] || can_read_urls=yes
fi

# secret_of FILE: its one line, for a field that cannot be a file. Quotes would end the string.
secret_of() {
    [ -r "$1" ] || fail "$1: cannot be read, and has to stand in the configuration itself"
    secret=$(tr -d ' \t\r\n' <"$1")
    case $secret in
    *\'*) fail "$1: a quote" ;;
    esac
    printf '%s' "$secret"
}

has_secret=
[ -z "$NOTIFY_WECOM_CORP_ID" ] || has_secret=yes

# --- receivers -----------------------------------------------------------------------------------

# webhook_url FILE: the line that names the URL held by the file.
webhook_url() {
    if [ -n "$can_read_urls" ]; then
        printf "url_file: '%s'" "$1"
    else
        url=$(secret_of "$1") || exit 1
        case $url in
        http://?* | https://?*) printf "url: '%s'" "$url" ;;
        *) fail "$1: expected http:// or https://" ;;
        esac
    fi
}

# plain_webhook FILE: a webhook with Alertmanager's own JSON, where a file is given.
plain_webhook() {
    [ -n "$1" ] || return 0
    url=$(webhook_url "$1") || exit 1
    printf '      - %s\n        send_resolved: true\n' "$url"
}

# receiver NAME EMAIL_TO SLACK_URL_FILE PAGERDUTY_KEY_FILE
receiver() {
    printf '  - name: %s\n' "$1"
    if [ -n "$2" ]; then
        cat <<YAML
    email_configs:
      - to: '$2'
        send_resolved: true
        headers:
          Subject: '{{ template "lb.subject" . }}'
        text: '{{ template "lb.text" . }}'
        html: '{{ template "lb.email.html" . }}'
YAML
    fi
    if [ -n "$3" ]; then
        cat <<YAML
    slack_configs:
      - api_url_file: '$3'
        send_resolved: true
        color: '{{ template "lb.slack.colour" . }}'
        title: '{{ template "lb.slack.title" . }}'
        title_link: '{{ template "lb.group.url" . }}'
        fallback: '{{ template "lb.slack.title" . }}'
        text: '{{ template "lb.slack.text" . }}'
YAML
        [ -z "$NOTIFY_SLACK_CHANNEL" ] || printf "        channel: '%s'\n" "$NOTIFY_SLACK_CHANNEL"
    fi
    [ -z "$4" ] || pagerduty "$4"
    [ -z "$NOTIFY_WECOM_CORP_ID" ] || wecom
    webhooks=$(
        if [ -n "$NOTIFY_WEBHOOK_URL_FILE" ]; then
            plain_webhook "$NOTIFY_WEBHOOK_URL_FILE"
            [ -z "$NOTIFY_WEBHOOK_TOKEN_FILE" ] || cat <<YAML
        http_config:
          authorization:
            credentials_file: '$NOTIFY_WEBHOOK_TOKEN_FILE'
YAML
        fi
        plain_webhook "$NOTIFY_DINGTALK_URL_FILE"
        plain_webhook "$NOTIFY_WECOM_BOT_URL_FILE"
    ) || exit 1
    [ -z "$webhooks" ] || printf '    webhook_configs:\n%s\n' "$webhooks"
}

pagerduty() {
    cat <<YAML
    pagerduty_configs:
      - routing_key_file: '$1'
        send_resolved: true
        severity: '{{ template "lb.pagerduty.severity" . }}'
        description: '{{ template "lb.subject" . }}'
        client: Alertmanager
        client_url: '{{ template "lb.group.url" . }}'
        component: '{{ or .CommonLabels.model_name .CommonLabels.pool }}'
        details:
          firing: '{{ template "lb.firing.text" . }}'
          resolved: '{{ template "lb.resolved.text" . }}'
YAML
    [ -z "$NOTIFY_PAGERDUTY_URL" ] || printf "        url: '%s'\n" "$NOTIFY_PAGERDUTY_URL"
}

wecom() {
    secret=$(secret_of "$NOTIFY_WECOM_SECRET_FILE") || exit 1
    cat <<YAML
    wechat_configs:
      - corp_id: '$NOTIFY_WECOM_CORP_ID'
        agent_id: '$NOTIFY_WECOM_AGENT_ID'
        api_secret: '$secret'
        to_user: '$NOTIFY_WECOM_TO'
        send_resolved: true
        message: '{{ template "lb.wecom.text" . }}'
YAML
    [ -z "$NOTIFY_WECOM_URL" ] || printf "        api_url: '%s'\n" "$NOTIFY_WECOM_URL"
}

RECEIVERS=$(
    receiver serving-page "$NOTIFY_EMAIL_TO" "$NOTIFY_SLACK_URL_FILE" "$NOTIFY_PAGERDUTY_KEY_FILE"
    receiver serving-notice "$NOTIFY_EMAIL_TO" "$NOTIFY_SLACK_URL_FILE" ''
    receiver monitoring-page "$NOTIFY_MONITORING_EMAIL_TO" "$NOTIFY_MONITORING_SLACK_URL_FILE" \
        "$NOTIFY_MONITORING_PAGERDUTY_KEY_FILE"
    receiver monitoring-notice "$NOTIFY_MONITORING_EMAIL_TO" "$NOTIFY_MONITORING_SLACK_URL_FILE" ''
    printf '  - name: watchdog\n'
    if [ -n "$NOTIFY_WATCHDOG_URL_FILE" ]; then
        url=$(webhook_url "$NOTIFY_WATCHDOG_URL_FILE") || exit 1
        printf '    webhook_configs:\n      - %s\n        send_resolved: false\n' "$url"
    fi
    printf '  - name: nobody\n'
) || exit 1
case $RECEIVERS in
*"- url: '"*) has_secret=yes ;;
esac

GLOBAL=
if [ -n "$NOTIFY_MONITORING_EMAIL_TO" ]; then
    tls=true
    [ "$NOTIFY_SMTP_TLS" = on ] || tls=false
    GLOBAL="global:
  smtp_from: '$NOTIFY_EMAIL_FROM'
  smtp_smarthost: '$NOTIFY_SMTP'
  smtp_require_tls: $tls"
    [ -z "$NOTIFY_SMTP_USER" ] || GLOBAL="$GLOBAL
  smtp_auth_username: '$NOTIFY_SMTP_USER'
  smtp_auth_password_file: '$NOTIFY_SMTP_PASSWORD_FILE'"
    GLOBAL="$GLOBAL
"
fi

hours='active_time_intervals: [working-hours]'
TIMES_OF_WARNINGS=
[ "$NOTIFY_WARNINGS" = always ] || TIMES_OF_WARNINGS=$hours
TIMES_OF_INFO='' INFO_OF_SERVING=serving-notice INFO_OF_MONITORING=monitoring-notice
case $NOTIFY_INFO in
off) INFO_OF_SERVING=nobody INFO_OF_MONITORING=nobody ;;
working-hours) TIMES_OF_INFO=$hours ;;
esac
WORKING_START=${NOTIFY_WORKING_HOURS%-*} WORKING_END=${NOTIFY_WORKING_HOURS#*-}

# --- written aside, checked, and put in place ----------------------------------------------------

# Readable by its owner only, until all is well.
umask 077
staging=$(mktemp -d "$target/.render.XXXXXX")
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$staging/templates"

export RECEIVERS GLOBAL TIMES_OF_WARNINGS TIMES_OF_INFO INFO_OF_SERVING INFO_OF_MONITORING \
    WORKING_START WORKING_END NOTIFY_GROUP_WAIT NOTIFY_GROUP_INTERVAL NOTIFY_REPEAT_WARNING \
    NOTIFY_REPEAT_CRITICAL NOTIFY_WATCHDOG_EVERY NOTIFY_WORKING_DAYS NOTIFY_TIME_ZONE
# A line that holds nothing but an empty value is left out.
awk '{
    line = $0
    out = ""
    empty = 0
    while (match(line, /\$\{[A-Z_]+\}/)) {
        value = ENVIRON[substr(line, RSTART + 2, RLENGTH - 3)]
        if (value == "") empty = 1
        out = out substr(line, 1, RSTART - 1) value
        line = substr(line, RSTART + RLENGTH)
    }
    out = out line
    if (!empty || out ~ /[^ ]/) print out
}' "$here/alertmanager.yml.template" >"$staging/alertmanager.yml"

for file in "$here"/templates/*.tmpl; do
    sed -e "s|{{- \$runbooks := \"\" }}|{{- \$runbooks := \"${NOTIFY_RUNBOOK_URL%/}\" }}|" \
        -e "s|{{- \$grafana := \"\" }}|{{- \$grafana := \"${NOTIFY_GRAFANA_URL%/}\" }}|" \
        "$file" >"$staging/templates/${file##*/}"
done

# refused FILE: whether amtool would refuse this configuration; what it says is kept in a file.
refused() {
    ! amtool check-config "$1" >"$staging/said" 2>&1
}

# Only a version of its own kind can judge it; render.sh may run on another machine.
checker=$(amtool --version 2>&1 | sed -n 's/^amtool, version \([0-9.]*\).*/\1/p') || :
if [ -n "$checker" ] && [ "${NOTIFY_VERSION:-$checker}" = "$checker" ]; then
    # amtool shows a URL that it does not like, so what it says is shown of a copy without secrets.
    sed -e "s|^\( *- url: '\).*|\1https://withheld.example'|" \
        -e "s|^\( *api_secret: '\).*|\1withheld'|" \
        "$staging/alertmanager.yml" >"$staging/without-secrets.yml"
    if refused "$staging/without-secrets.yml"; then
        cat "$staging/said" >&2
        fail "Alertmanager would refuse this; $target is as it was"
    fi
    ! refused "$staging/alertmanager.yml" ||
        fail "Alertmanager would refuse a secret, most likely a URL that is none; $target is as it was"
else
    printf 'render.sh: %s\n' "not checked, for want of amtool ${NOTIFY_VERSION:-}" >&2
fi

chmod 755 "$staging/templates"
chmod 644 "$staging"/templates/*.tmpl
if [ -n "$has_secret" ]; then
    chmod 640 "$staging/alertmanager.yml"
    if [ -n "$NOTIFY_GROUP" ]; then
        chgrp "$NOTIFY_GROUP" "$staging/alertmanager.yml"
    else
        printf 'render.sh: %s\n' "alertmanager.yml holds a secret, readable by your own group only;" \
            "set NOTIFY_GROUP to the group of Alertmanager's user" >&2
    fi
else
    chmod 644 "$staging/alertmanager.yml"
fi
mkdir -p "$target/templates"
chmod 755 "$target/templates"
for file in "$staging"/templates/*.tmpl; do mv "$file" "$target/templates/"; done
mv "$staging/alertmanager.yml" "$target/alertmanager.yml"
