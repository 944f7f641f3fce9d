"""`python -m worker.upstream`: the sandbox alone."""

import errno
import socket
import sys

import structlog

from config.logs import configure_logs
from config.settings import Settings, load_settings, stop
from worker.upstream.chosen_sandbox import BACKLOG, build_server, create_sandbox

log = structlog.get_logger()


def main() -> int:
    """Serves until SIGTERM."""
    settings = load_settings()
    configure_logs(settings, "sandbox")
    listener = _listen(settings)
    log.warning(
        "sandbox.started", note="THIS IS A SANDBOX: no model, no provider, no spend", port=settings.sandbox_port
    )
    build_server(create_sandbox(settings)).run(sockets=[listener])
    return 0


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.sandbox_host, settings.sandbox_port), backlog=BACKLOG)
    except OSError as error:
        port = settings.sandbox_port
        if error.errno == errno.EADDRINUSE:
            stop(f"port {port} is in use: stop what listens there or set DARKROOM_SANDBOX_PORT.")
        stop(f"cannot listen on {settings.sandbox_host}:{port} ({error.strerror}): set DARKROOM_SANDBOX_HOST.")


if __name__ == "__main__":
    sys.exit(main())
