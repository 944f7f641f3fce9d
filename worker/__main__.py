"""`python -m worker`: the worker of one container, four Celery workers under one parent process.

Each kind of waiting for the outside has a process of its own: POSTs, downloads of images, and webhook deliveries, whose
receivers may hang. So none delays another, nor a deadline or a callback, which the fourth process settles.
`python -m worker submit`, `settle`, `collect` or `tell` runs one of them alone.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

from config.broker import QUEUES
from config.logs import configure_logs
from config.private_memory import keep_memory_private
from config.settings import Settings, load_settings

log = structlog.get_logger()

RESTART_PAUSE_SECONDS = 1.0
LOOK_SECONDS = 0.1
WRONG_SETTING = 2


def run_role(role: str, settings: Settings, parent: int) -> None:
    """Runs one Celery worker until SIGTERM or the end of `parent` (a process id); then waits for tasks in flight."""
    from worker.app import app
    from worker.installation import check_installation_at_start
    from worker.running.process import Process
    from worker.running.self_check import SelfCheck
    from worker.running.standing import limits_of
    from worker.startup import check_redis_at_start, check_settings

    configure_logs(settings, f"worker.{role}")
    Process.role, Process.check = role, SelfCheck(parent, limits_of(settings))
    Process.check.start()
    check_settings(settings)
    check_redis_at_start(settings)
    check_installation_at_start(settings)
    concurrency = {
        "submit": settings.worker_concurrency,
        "settle": settings.settle_concurrency,
        "collect": settings.collect_concurrency,
        "tell": settings.tell_concurrency,
    }[role]
    options = ["-c", str(concurrency), "-Q", role, "-n", f"{role}@%h"]
    app.worker_main(["--quiet", "worker", *options, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"])


class Parent:
    """Keeps one child process per role alive until a signal stops it."""

    def __init__(self) -> None:
        self.stopping = False
        self.told: set[int] = set()
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        self.children = {role: self._start(role) for role in QUEUES}

    def watch(self) -> int:
        """Restarts a child that died. Returns 0 when all have stopped after a signal, 2 on a wrong setting."""
        while not self.stopping or any(child.poll() is None for child in self.children.values()):
            for role, child in self.children.items():
                if self.stopping:
                    self._tell(child)
                elif child.poll() == WRONG_SETTING:  # starting it again would not help
                    self.stopping = True
                elif child.poll() is not None:
                    self._replace(role, child)
            time.sleep(LOOK_SECONDS)
        codes = [child.returncode for child in self.children.values()]
        return WRONG_SETTING if WRONG_SETTING in codes else 0

    def _replace(self, role: str, child: "subprocess.Popen[bytes]") -> None:
        log.error("worker.died", role=role, code=child.returncode)
        time.sleep(RESTART_PAUSE_SECONDS)
        if not self.stopping:
            self.children[role] = self._start(role)

    def _tell(self, child: "subprocess.Popen[bytes]") -> None:
        """Sends SIGTERM once; from here and not from the handler, so that a child started meanwhile gets it as well."""
        if child.pid not in self.told and child.poll() is None:
            self.told.add(child.pid)
            child.send_signal(signal.SIGTERM)

    @staticmethod
    def _start(role: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "worker", role, str(os.getpid())]
        return subprocess.Popen(command, start_new_session=True)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True


def main() -> int:
    """Runs the role of the command line, or all of them. Returns the exit code."""
    keep_memory_private()
    settings = load_settings()
    if len(sys.argv) > 1 and sys.argv[1] in QUEUES:
        run_role(sys.argv[1], settings, int(sys.argv[2]) if len(sys.argv) > 2 else os.getppid())
        return 0
    configure_logs(settings, "worker")
    return Parent().watch()


if __name__ == "__main__":
    sys.exit(main())
