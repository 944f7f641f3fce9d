#!/bin/sh
# Starts a sentinel with its users (users.of-sentinel.acl). SENTINEL_MONITOR is the first primary's address and port.
# Every argument is one more for it.
set -eu
umask 077
here=$(dirname "$0")
. "$here/passwords.sh"

users=$(without_comments "$here/users.of-sentinel.acl")
for role in sentinel client; do users=$(with_digest "$users" "$role"); done
with_health "$users" >"$run/users.acl"

# its file is written once and then its own: it keeps who the primary is over a restart
conf=$data/sentinel.conf
[ -f "$conf" ] || printf '%s\n' 'port 26379' 'bind 0.0.0.0' \
    "sentinel monitor mymaster $SENTINEL_MONITOR 2" \
    'sentinel down-after-milliseconds mymaster 5000' \
    'sentinel failover-timeout mymaster 30000' \
    'sentinel parallel-syncs mymaster 1' >"$conf"
keep_but "$conf" '^sentinel auth-' '^sentinel sentinel-' '^user ' '^aclfile ' '^protected-mode '
printf '%s\n' 'sentinel auth-user mymaster sentinel' "sentinel auth-pass mymaster $DARKROOM_REDIS_SENTINEL_PASSWORD" \
    'sentinel sentinel-user sentinel' "sentinel sentinel-pass $DARKROOM_REDIS_SENTINEL_PASSWORD" >>"$conf"

exec env -i PATH="$PATH" redis-server "$conf" --sentinel --dir "$data" --aclfile "$run/users.acl" "$@"
