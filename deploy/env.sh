#!/bin/sh
# Writes what docker-compose.yml needs into .env: a fresh secret for each name that is not there yet; what is there stays.
#   sh deploy/env.sh            for the provider: then set DARKROOM_UPSTREAM_KEY and DARKROOM_PUBLIC_URL
#   sh deploy/env.sh sandbox    for an upstream of our own: no account, no spend
#   sh deploy/env.sh sentinel   also what deploy/compose.sentinel.yml needs
set -eu
umask 077
file=${DARKROOM_ENV_FILE:-.env}

secret() { od -An -N 32 -tx1 /dev/urandom | tr -d ' \n'; }

# keeps a value that is set; a line without a value counts as missing
add() {
    if ! grep -q "^$1=." "$file"; then
        printf '%s=%s\n' "$1" "$2" >>"$file"
        echo "$1" >&2
    fi
}

touch "$file"
chmod 600 "$file"
# a last line without its end would swallow the first of ours
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
for role in API WORKER FLOWER OPERATOR; do add "DARKROOM_REDIS_${role}_PASSWORD" "$(secret)"; done
add DARKROOM_SECRET "$(secret)"
add DARKROOM_API_KEYS "main:$(secret)"
add FLOWER_BASIC_AUTH "flower:$(secret)"
if [ "${1:-}" = sandbox ]; then
    add DARKROOM_UPSTREAM_URL http://sandbox:8001/api/v1/enterprise
    add DARKROOM_UPSTREAM_KEY sandbox
    add DARKROOM_PUBLIC_URL http://api:8000
    add DARKROOM_ALLOW_PRIVATE_ADDRESSES true
    add DARKROOM_IMAGE_HOSTS sandbox
fi
if [ "${1:-}" = sentinel ]; then
    for role in REPLICA SENTINEL CLIENT; do add "DARKROOM_REDIS_${role}_PASSWORD" "$(secret)"; done
fi
