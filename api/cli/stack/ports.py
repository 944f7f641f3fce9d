"""The ports of a stack: those of the settings, the usual ones, or free ones."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from dotenv import dotenv_values

from api.cli.stack.redis_server import free_port
from config.settings import stop


@dataclass(frozen=True)
class Ports:
    """The port of each part."""

    api: int
    sandbox: int
    flower: int
    redis: int


def choose_ports(*, may_move: bool) -> Ports:
    """The ports of the settings, or the usual ones. A busy port ends the process with a sentence.

    With `may_move` (a throwaway stack, which does not read `.env`) a free port is used instead.
    """
    written = {} if may_move else dotenv_values(".env")
    given = {name: value for name, value in (written | dict(os.environ)).items() if value}
    return Ports(
        api=_port(given, "DARKROOM_PORT", 8000, may_move=may_move),
        sandbox=_port(given, "DARKROOM_SANDBOX_PORT", 8001, may_move=may_move),
        flower=_port(given, "FLOWER_PORT", 5555, may_move=may_move),
        redis=free_port(),
    )


def _port(settings: Mapping[str, str], setting: str, usual: int, *, may_move: bool) -> int:
    given = settings.get(setting, "")
    if given and not (given.isdecimal() and 0 < int(given) < 65_536):
        stop(f"{setting} is not usable: it must be a port from 1 to 65535.")
    wanted = int(given or usual)
    if _is_free(wanted):
        return wanted
    if given or not may_move:
        stop(f"port {wanted} is in use: stop what listens there or set {setting}.")
    return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
