"""Processes of one command, each under a watchdog, each with its log: started one by one, stopped in the order given.

A watchdog and what it runs are in sessions of their own, so Ctrl-C in a terminal reaches the command alone, and the
command stops them in order. If it cannot, because it was killed, the watchdogs do (see watchdog.py).
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

WATCHDOG = (sys.executable, "-m", "api.cli.stack.watchdog")
STOP_SECONDS = 40.0
"""More than a watchdog's own grace, after which it kills."""
TAIL_LINES = 15


class Children:
    """See the module. `lock` is a file descriptor that stays open in every watchdog until it has ended."""

    def __init__(self, logs: Path, folder: Path, lock: int) -> None:
        self._logs, self._folder, self._lock = logs, folder, lock
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts the command; what it says goes to `name.log`."""
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
        """Ends these, all at the same time, and returns once they have ended; one that never started is passed over."""
        children = [self._running.pop(name) for name in names if name in self._running]
        for child in children:
            if child.stdin:
                child.stdin.close()
        for child in children:
            child.wait(STOP_SECONDS)

    def dead(self) -> str | None:
        """The name of one that ended by itself, if any did."""
        return next((name for name, child in self._running.items() if child.poll() is not None), None)

    def last_words(self, name: str) -> str:
        """The last lines of its log."""
        path = self._log(name)
        return "\n".join(path.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if path.exists() else ""

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
