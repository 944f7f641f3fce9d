"""Child processes of one command. Each has a watchdog and a log; they are stopped in a given order.

A watchdog and its process run in a session of their own. So Ctrl-C reaches only the command, which stops them in order.
If the command was killed, the watchdogs stop them (see watchdog.py).
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WATCHDOG = (sys.executable, "-m", "api.cli.stack.watchdog")
STOP_SECONDS = 40.0
"""Longer than the time after which a watchdog kills its process."""
TAIL_LINES = 15


class Children:
    """The processes of one command. `lock` is a file descriptor that stays open in every watchdog until it ends."""

    def __init__(self, logs: Path, folder: Path, lock: int) -> None:
        self._logs, self._folder, self._lock = logs, folder, lock
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts the command; its output goes to `name.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                [*WATCHDOG, *command],
                env=environment,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(self._lock,),
            )

    def stop(self, *names: str) -> None:
        """Stops these at the same time, and returns when they have ended. One that never started is ignored."""
        children = [self._running.pop(name) for name in names if name in self._running]
        for child in children:
            if child.stdin:
                child.stdin.close()
        for child in children:
            child.wait(STOP_SECONDS)

    def dead(self) -> str | None:
        """The name of a process that ended by itself, or None."""
        return next((name for name, child in self._running.items() if child.poll() is not None), None)

    def last_words(self, name: str) -> str:
        """The last lines of its log."""
        path = self._log(name)
        return "\n".join(path.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if path.exists() else ""

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
