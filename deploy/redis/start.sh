#!/bin/sh
# Starts Redis with a user for each role (users.acl). Run by compose; every argument is one more for redis-server.
# Passwords come in the environment (DARKROOM_REDIS_API_PASSWORD, …). Their SHA-256 go into a file in memory; Redis itself
# gets neither the environment nor any password in its command line.
set -eu
umask 077
here=$(dirname "$0")
. "$here/passwords.sh"

users=$(without_comments "$here/users.acl")
for role in api worker flower operator; do users=$(with_digest "$users" "$role"); done
conf=$here/redis.conf

# with sentinels: their user and the replicas', and a file of its own, in which they note whose replica this server is
if [ -n "${DARKROOM_REDIS_SENTINEL_PASSWORD:-}" ]; then
    users="$users
$(with_digest "$(with_digest "$(without_comments "$here/users.replication.acl")" replica)" sentinel)"
    conf=$data/redis.conf
    # written once: a restart must not forget a failover
    [ -f "$conf" ] || printf '%s\n' "include $here/redis.conf" \
        'min-replicas-to-write 1' 'min-replicas-max-lag 10' "${REPLICA_OF:-}" >"$conf"
    keep_but "$conf" '^masteruser ' '^masterauth '
    printf '%s\n' 'masteruser replica' "masterauth $DARKROOM_REDIS_REPLICA_PASSWORD" >>"$conf"
fi

with_health "$users" >"$run/users.acl"
exec env -i PATH="$PATH" redis-server "$conf" --dir "$data" \
    --aclfile "$run/users.acl" --maxmemory "${DARKROOM_REDIS_MAXMEMORY:-1gb}" "$@"
