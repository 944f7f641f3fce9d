#!/bin/sh
# The health check of Redis' container: a PING, as the user that may do nothing else. Arguments are for redis-cli.
set -eu
REDISCLI_AUTH=$(cat "${DARKROOM_RUN:-/tmp}/health")
export REDISCLI_AUTH
[ "$(redis-cli --user health --no-auth-warning "$@" ping)" = PONG ]
