#!/bin/sh
# Runs beside Nginx and takes up what the controller asks for over a shared volume, so that the
# controller needs neither the Docker socket nor Nginx's PID namespace nor any privilege.
#
#   req/request.conf   from the controller: `# request NONCE GENERATION`, then the upstream file
#   live/upstream.conf what Nginx loads; only this program writes it
#   ack/answer         `NONCE GENERATION VERDICT`, then one line for a person
#   ack/status         the heartbeat: the master, its live and its lingering workers
#
# Verdicts: ok (swapped, Nginx was told), invalid (the file is refused), failed (no Nginx to tell),
# unsafe (the file cannot be tested or swapped). Only ok changes the live file.
#
# Exit code 3: another watcher serves the directory.
#
# Killed at any instruction it leaves a live file that `nginx -t` accepted; started again it takes up
# a request that was not answered.
#
#   LB_SHARED_DIR=/var/lib/vllm-nginx-lb  parent of req, ack and live
#   LB_NGINX_CONF=/etc/nginx/nginx.conf   includes live/upstream.conf, directly or not
#   LB_NGINX=nginx
#   LB_PID=/run/nginx.pid
#   LB_POLL_S=0.1                         seconds between two looks at req
#   LB_TEST_TIMEOUT_S=10                  deadline of `nginx -t`
#   LB_MAX_BYTES=4194304                  largest request; 10,000 servers take about 1 MB
set -u
umask 022
export LC_ALL=C

shared=${LB_SHARED_DIR:-/var/lib/vllm-nginx-lb}
conf=${LB_NGINX_CONF:-/etc/nginx/nginx.conf}
nginx=${LB_NGINX:-nginx}
pid_file=${LB_PID:-/run/nginx.pid}
poll_s=${LB_POLL_S:-0.1}
test_timeout_s=${LB_TEST_TIMEOUT_S:-10}
max_bytes=${LB_MAX_BYTES:-4194304}

request=$shared/req/request.conf
answer=$shared/ack/answer
status=$shared/ack/status
lock=$shared/ack/.lock
live=$shared/live/upstream.conf
private=$shared/live/.request
candidate=$shared/live/.candidate
staging=$shared/live/.staging

# Every form of line that the controller writes, whole. Nothing else reaches Nginx: `nginx -t` would
# accept a server block or a log that overwrites a file just as well.
pool='[A-Za-z_][A-Za-z0-9_.-]{0,62}'
address='([A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}'
fails='max_fails=[0-9]{1,9} fail_timeout=[0-9]{1,9}s'
# shellcheck disable=SC2016 # a variable of Nginx
grammar='^$
^# Written by vllm-nginx-lb\. Do not edit: the next change overwrites it\.$
^map "" \$lb_generation \{$
^    default "[0-9a-f]{16}";$
^\}$
^upstream '$pool' \{$
^    zone '$pool' [0-9]{1,9}k;$
^    least_conn;$
^    server '$address' weight=[0-9]{1,3}( max_conns=[0-9]{1,9})? '$fails'( down)?;( # '$address')?$
^    server '$address' weight=[0-9]{1,3} '$fails' backup;( # '$address')?$
^    keepalive [0-9]{1,9};$'

log() {
    printf 'watcher: %s\n' "$*" >&2
}

# --- the lock: two watchers would swap each other's files ------------------------------------

# is_watcher PID: whether the process is one. A new container gives an old number to something else.
is_watcher() {
    title=
    { IFS= read -r title <"/proc/$1/cmdline"; } 2>/dev/null
    case $title in *watcher.sh*) return 0 ;; esac
    return 1
}

# lock_holder: sets holder to the process id in the lock; empty when there is none.
lock_holder() {
    holder=
    { read -r holder <"$lock/pid"; } 2>/dev/null || :
}

take_lock() {
    if ! mkdir "$lock" 2>/dev/null; then
        lock_holder
        if [ -n "$holder" ] && [ "$holder" != $$ ] && is_watcher "$holder"; then
            log "another watcher (pid $holder) serves $shared"
            exit 3
        fi
        rm -rf "$lock"
        mkdir "$lock" || exit 1
    fi
    printf '%s\n' $$ >"$lock/pid" || exit 1
}

# --- Nginx -----------------------------------------------------------------------------------

# find_master: sets master to the process id of the Nginx master, or to nothing.
find_master() {
    master=
    title=
    { read -r master <"$pid_file"; } 2>/dev/null || :
    case $master in '' | *[!0-9]*) master= && return 1 ;; esac
    { IFS= read -r title <"/proc/$master/cmdline"; } 2>/dev/null
    case $title in 'nginx: master process'*) return 0 ;; esac
    master=
    return 1
}

# children PID: sets kids to its child processes.
children() {
    kids=
    { read -r kids <"/proc/$1/task/$1/children"; } 2>/dev/null || :
    [ -z "$kids" ] || return 0
    for stat in /proc/[0-9]*/stat; do
        { read -r kid _ _ parent _ <"$stat"; } 2>/dev/null || continue
        [ "$parent" != "$1" ] || kids="$kids $kid"
    done
}

# write_status: the heartbeat. Only builtins: it runs for ever.
write_status() {
    live_workers=0
    lingering=0
    if find_master; then
        children "$master"
        for kid in $kids; do
            title=
            { IFS= read -r title <"/proc/$kid/cmdline"; } 2>/dev/null
            case $title in
            'nginx: worker process is shutting down'*) lingering=$((lingering + 1)) ;;
            'nginx: worker process'*) live_workers=$((live_workers + 1)) ;;
            esac
        done
    fi
    printf 'master=%s\nlive=%s\nlingering=%s\nend\n' \
        "${master:-none}" "$live_workers" "$lingering" 2>/dev/null >"$status"
}

# expand FILE: nginx.conf with all includes written out, and FILE in place of the live file. Exits
# with 3 when the live file is not among them.
expand() {
    awk -v conf="$conf" -v root="${conf%/*}" -v live="$live" -v put="$1" '
        function expanded(file, depth,    line, names, count, i, known) {
            while ((known = (getline line < file)) > 0) {
                if (depth > 8 || line !~ /^[ \t]*include[ \t]+[^;{}]+;[ \t]*(#.*)?$/) {
                    print line
                    continue
                }
                count = matches(line, names)
                for (i = 1; i <= count; i++) {
                    if (names[i] == live) {
                        print "include \"" put "\";"
                        found = 1
                    } else if (!expanded(names[i], depth + 1)) {
                        print "include \"" names[i] "\";"
                    }
                }
            }
            close(file)
            return known == 0
        }
        function matches(line, names,    pattern, command, count) {
            pattern = line
            sub(/^[ \t]*include[ \t]+/, "", pattern)
            sub(/[ \t]*;.*$/, "", pattern)
            gsub(/["\047]/, "", pattern)
            if (pattern !~ /^\//) pattern = root "/" pattern
            names[1] = pattern
            if (pattern !~ /[*?\[]/ || pattern ~ /[^A-Za-z0-9_.,:@=+*?\[\]\/-]/) return 1
            count = 0
            command = "for f in " pattern "; do [ ! -e \"$f\" ] || echo \"$f\"; done"
            while ((command | getline line) > 0) names[++count] = line
            close(command)
            return count
        }
        BEGIN {
            expanded(conf, 1)
            exit found ? 0 : 3
        }'
}

# refusal FILE: prints why Nginx would refuse FILE as its upstream file; status 0 when it would not,
# 1 when it would, 2 when it cannot be asked.
refusal() {
    rm -rf "$staging"
    # Links, since relative paths are resolved against the directory of the file named by -c.
    if ! mkdir -m 700 "$staging" || ! ln -s "${conf%/*}"/* "$staging"; then
        printf 'cannot write to %s\n' "${staging%/*}"
        return 2
    fi
    expand "$1" >"$staging/.nginx.conf"
    case $? in
    0) ;;
    3) printf '%s does not include %s\n' "$conf" "$live" && return 2 ;;
    *) printf 'cannot stage %s\n' "$conf" && return 2 ;;
    esac
    said=$($timeout "$nginx" -t -c "$staging/.nginx.conf" 2>&1)
    code=$?
    [ $code -ne 0 ] || return 0
    if [ $code -eq 124 ] || [ $code -eq 143 ]; then
        printf 'nginx -t did not end within %s s and was killed\n' "$test_timeout_s"
        return 2
    fi
    printf '%s\n' "$said" | worst_line | sed "s|$candidate|$live|g; s|$staging/.nginx.conf|$conf|g"
    return 1
}

worst_line() {
    awk '/\[(emerg|alert|crit)\]/ && !worst { worst = $0 } { last = $0 }
        END { print worst ? worst : last }'
}

# --- one request -----------------------------------------------------------------------------

# respond VERDICT MESSAGE
respond() {
    if printf '%s %s %s\n%s\n' "$nonce" "$generation" "$1" "$2" >"$answer.new"; then
        mv -f "$answer.new" "$answer"
    fi
    log "request $nonce, generation $generation: $1${2:+: $2}"
}

# strange_backup: prints the number of the first backup line of the private copy that is no live
# server of its upstream again, at the same weight.
strange_backup() {
    tail -n +2 "$private" | awk '
        $1 == "upstream" { pool = $2 }
        $1 != "server" || / down;/ { next }
        / backup;/ { if (live[pool, $2, $3]-- < 1) { print NR; exit } next }
        { live[pool, $2, $3]++ }'
}

# fault: prints what the private copy has that no request of the controller has; nothing if sound.
fault() {
    size=$(wc -c <"$private")
    if [ "$size" -gt "$max_bytes" ]; then
        printf 'more than %s bytes\n' "$max_bytes"
    elif [ "$(tr -d '\n -~' <"$private" | wc -c)" -ne 0 ]; then
        printf 'a byte that is no printable ASCII\n'
    elif [ -n "$(tail -c 1 "$private")" ]; then
        printf 'the last line is not complete\n'
    elif line=$(tail -n +2 "$private" | grep -n -v -E -m 1 -e "$grammar"); then
        # Only its number: what stands there is not to be trusted in a log either.
        printf 'line %s is not one that the controller writes\n' "${line%%:*}"
    elif line=$(strange_backup) && [ -n "$line" ]; then
        printf 'line %s is a backup of no live server of its upstream\n' "$line"
    elif ! grep -q -F -x -e "    default \"$generation\";" "$private"; then
        printf 'the text is not of generation %s\n' "$generation"
    fi
}

# read_head FILE: sets nonce and generation from the first line; false if it is no request.
read_head() {
    nonce=
    generation=
    { read -r hash word nonce generation rest <"$1"; } 2>/dev/null || return 1
    [ "$hash $word$rest" = '# request' ] || return 1
    case $nonce in '' | *[!0-9a-f]*) return 1 ;; esac
    case $generation in '' | *[!0-9a-f]*) return 1 ;; esac
}

# swap absent|same|other: what the live file is against the candidate.
swap() {
    # Not when a killed watcher already swapped: the file of before would be lost.
    if [ "$1" = other ]; then
        cp "$live" "$shared/live/.previous.new" || return 1
        mv -f "$shared/live/.previous.new" "$shared/live/.previous" || return 1
    fi
    mv -f "$candidate" "$live"
}

# unswap absent|same|other: the live file is again what it was before `swap`.
unswap() {
    case $1 in
    absent) rm -f "$live" ;;
    # What is kept is older than it: nothing was copied.
    same) ;;
    other) mv -f "$shared/live/.previous" "$live" ;;
    esac
}

# take_up: the whole of one request, from the private copy on.
take_up() {
    found=$(fault)
    if [ -n "$found" ]; then
        respond invalid "refused before Nginx saw it: $found"
        return
    fi
    if ! tail -n +2 "$private" | dd of="$candidate" conv=fsync 2>/dev/null; then
        respond unsafe "cannot write to ${candidate%/*}"
        return
    fi
    found=$(refusal "$candidate")
    case $? in
    1)
        # A certificate that has gone refuses every candidate, and says nothing about this one.
        if [ -f "$live" ] && ! other=$(refusal "$live"); then
            respond unsafe "nginx -t refuses even the configuration that is live: $other"
        else
            respond invalid "$found"
        fi
        return
        ;;
    2) respond unsafe "$found" && return ;;
    esac
    if ! find_master; then
        respond failed "no Nginx master at the process id in $pid_file"
        return
    fi
    if ! kill -0 "$master" 2>/dev/null; then
        respond unsafe "this user may not signal the Nginx master $master"
        return
    fi
    before=other
    if [ ! -f "$live" ]; then
        before=absent
    elif cmp -s "$candidate" "$live"; then
        before=same
    fi
    if ! found=$(swap $before 2>&1); then
        respond unsafe "$found"
    elif ! kill -HUP "$master" 2>/dev/null; then
        unswap $before
        respond failed "cannot signal the Nginx master $master"
    else
        respond ok ''
    fi
}

handle() {
    # A private copy: what is tested must be what goes live, whatever happens to the request. Nobody
    # else may read it: by now the request may be a link to what only this program may read.
    rm -f "$private"
    if ! copied=$( (umask 077 && head -c $((max_bytes + 1)) "$request" >"$private") 2>&1); then
        # The head is that of the request itself, which the caller has just read.
        respond unsafe "cannot copy the request to $private: $copied"
    else
        read_head "$private" || return
        [ "$nonce" != "$handled" ] || return
        take_up
    fi
    handled=$nonce
    rm -rf "$private" "$candidate" "$staging"
}

# --- life ------------------------------------------------------------------------------------

for directory in "$shared/req" "$shared/ack" "$shared/live"; do
    [ -d "$directory" ] || {
        log "$directory is not a directory"
        exit 1
    }
done
take_lock
trap 'rm -rf "$lock"; exit 0' TERM INT
rm -rf "$private" "$candidate" "$staging" "$answer.new" "$shared/live/.previous.new"

timeout=
if command -v timeout >/dev/null; then timeout="timeout $test_timeout_s"; fi
sleep "$poll_s" 2>/dev/null || poll_s=1
beat=$(awk -v poll="$poll_s" 'BEGIN { print int(1 / poll) + (poll > 1) }')

handled=
{ read -r handled _ <"$answer"; } 2>/dev/null || :
looks=0
write_status
log "serves $shared"
while lock_holder && [ "$holder" = $$ ]; do
    # A link or a device would be read with this program's rights, or for ever.
    if [ -f "$request" ] && [ ! -L "$request" ] && read_head "$request" &&
        [ "$nonce" != "$handled" ]; then
        # Before it, since requests without a pause between them must not silence the heartbeat, and
        # not right after it, when the workers of before still look like live ones.
        write_status
        handle
        looks=$((beat / 2))
    fi
    looks=$((looks + 1))
    if [ $looks -ge "$beat" ]; then
        looks=0
        write_status
    fi
    sleep "$poll_s"
done
log "another watcher took over $shared"
exit 3
