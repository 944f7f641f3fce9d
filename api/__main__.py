"""`python -m api`: one uvicorn process in front of the job store."""

import asyncio
import errno
import socket
import sys
from functools import partial
from typing import cast

import structlog
import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from api.app import create_app
from api.fast_path import FastPath
from api.guard.crowd import Crowd
from api.guard.protocol import GuardedProtocol
from api.guard.sockets import bound_buffers
from api.keys import SAFE_KEY_LENGTH, configured_keys, tenants_with_short_keys
from api.server import GracefulServer, raise_descriptor_limit
from config.logs import configure_logs
from config.private_memory import keep_memory_private
from config.settings import Settings, load_settings, stop
from worker.installation import check_installation_at_start
from worker.startup import check_redis_at_start, check_settings

log = structlog.get_logger()

KEEP_ALIVE_SECONDS = 75
DRAIN_SECONDS = 20
INTERRUPTED = 130
"""The usual exit code after Ctrl-C."""


def main() -> int:
    """Serves until SIGTERM, then finishes the requests in flight. Returns the exit code."""
    keep_memory_private()
    settings = load_settings()
    configure_logs(settings, "api")
    check_settings(settings)
    if not configured_keys(settings):  # a malformed key stops the process here, with one sentence
        log.warning("keys.none", hint="set DARKROOM_API_KEYS, or make a key with `darkroom keys`")
    if short := tenants_with_short_keys(settings):
        log.warning("keys.short", tenants=short, hint=f"keys of {SAFE_KEY_LENGTH} random characters cannot be guessed")
    check_redis_at_start(settings)
    check_installation_at_start(settings)
    raise_descriptor_limit()
    listener = _listen(settings)
    bound_buffers(listener)
    try:
        GracefulServer(_server_config(settings)).run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn has finished what was in flight, and passes Ctrl-C on
        return INTERRUPTED
    return 0


def _server_config(settings: Settings) -> uvicorn.Config:
    application: ASGIApp = FastPath(create_app(settings), settings.max_body_bytes)
    if "*" not in settings.allowed_hosts:
        application = TrustedHostMiddleware(application, list(settings.allowed_hosts))
    crowd = Crowd(settings.max_connections, settings.max_connections_per_address)
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=cast("type[asyncio.Protocol]", partial(GuardedProtocol, crowd)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the peer's address is not used
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=4096,
    )


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.host, settings.port), backlog=4096, reuse_port=False)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            stop(f"port {settings.port} on {settings.host} is in use: stop what listens there or set DARKROOM_PORT.")
        stop(f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): set DARKROOM_HOST.")


if __name__ == "__main__":
    sys.exit(main())
