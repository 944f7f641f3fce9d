"""The folder of a stack: locked while it runs, with secrets that stay the same over restarts."""

import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from config.settings import stop

LOCK_SECONDS = 5.0
"""How long to wait for a stack that is just stopping."""


@dataclass(frozen=True)
class Secrets:
    """Made once per folder, so that API key and signed addresses stay valid after a restart."""

    key: str
    secret: str
    flower_password: str


def lock_folder(folder: Path) -> int:
    """Locks the folder while any process has the descriptor: two Redis servers would destroy the same files.

    From now on what this process and its children write is their user's only: Redis' files hold prompts and secrets.
    """
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # an older version made it readable for all, and what is in it
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_SECONDS
    while not _locked(descriptor):
        if time.monotonic() > until:
            stop(f"a stack is running in {folder} already: stop that one first.")
        time.sleep(0.1)
    return descriptor


def is_locked(folder: Path) -> bool:
    """Whether a stack runs there now. False for a missing folder, and for another user's."""
    try:
        with (folder / "lock").open("rb+") as lock:
            return not _locked(lock.fileno())
    except OSError:
        return False


def kept_secrets(path: Path) -> Secrets:
    """The secrets in that file, which only its owner can read; made if there are none."""
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


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
