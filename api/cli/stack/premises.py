"""What a stack needs before it can start: a folder of its own, secrets that stay the same, ports that are free."""

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from api.cli.stack.redis_server import free_port
from config.settings import stop

LOCK_SECONDS = 5.0
"""How long a stack that is just stopping is waited for."""


@dataclass(frozen=True)
class Ports:
    """Where the parts listen."""

    api: int
    sandbox: int
    flower: int
    redis: int


@dataclass(frozen=True)
class Secrets:
    """Made once per folder, so that a key and a signed address outlive a restart."""

    key: str
    secret: str
    flower_password: str


def lock_folder(folder: Path) -> int:
    """Locks the folder for as long as any process has the descriptor: two Redis on the same files would ruin them."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_SECONDS
    while not _locked(descriptor):
        if time.monotonic() > until:
            stop(f"a stack is running in {folder} already: stop that one first.")
        time.sleep(0.1)
    return descriptor


def kept_secrets(path: Path) -> Secrets:
    """The secrets in that file, which only its owner can read; made where there are none."""
    if path.exists():
        return Secrets(**json.loads(path.read_text()))
    made = Secrets(
        key=f"dk_{secrets.token_urlsafe(24)}",
        secret=secrets.token_hex(32),
        flower_password=secrets.token_urlsafe(12),
    )
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(vars(made)))
    temporary.replace(path)
    return made


def choose_ports(*, may_move: bool) -> Ports:
    """The ports of the settings or the usual ones. One that is busy ends the process with a sentence, or is moved.

    Those that may move are a throwaway stack's, which does not look at `.env`.
    """
    written = {} if may_move else dotenv_values(".env")
    given = {name: value for name, value in (written | dict(os.environ)).items() if value}
    return Ports(
        api=_port(given, "DARKROOM_PORT", 8000, may_move=may_move),
        sandbox=_port(given, "DARKROOM_SANDBOX_PORT", 8001, may_move=may_move),
        flower=_port(given, "FLOWER_PORT", 5555, may_move=may_move),
        redis=free_port(),
    )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
