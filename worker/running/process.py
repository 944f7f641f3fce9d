"""One worker process: what it holds between Celery's signals, opened after any fork, closed after the last task."""

import os
import signal
from collections.abc import Callable
from typing import Any

from celery.signals import setup_logging, worker_init, worker_shutdown

from config.settings import load_settings
from worker.heartbeat import keep_ticking
from worker.resources import Resources, open_resources
from worker.running.loop import LoopThread


class Process:
    """See the module."""

    role: str
    """The queue that it works on."""
    parent: int
    """The process that keeps this one alive; without it this one stops."""
    loop: LoopThread
    resources: Resources
    stop_ticking: Callable[[], None]


@setup_logging.connect
def keep_our_logs(**_: Any) -> None:
    """Celery asks here before it sets up logging of its own: ours stays."""


@worker_init.connect
def open_process(**_: Any) -> None:
    """Opens the loop and the connections."""
    settings = load_settings()
    Process.loop = LoopThread()
    Process.loop.start()
    Process.resources = Process.loop.run(open_resources(settings))
    Process.stop_ticking = Process.loop.run(keep_ticking(Process.resources, Process.parent, _stop_this_worker))


@worker_shutdown.connect
def close_process(**_: Any) -> None:
    """Closes after the last task: Celery has waited for those in flight."""
    if not hasattr(Process, "resources"):
        return  # stopped before it had started
    if hasattr(Process, "stop_ticking"):
        Process.stop_ticking()
    Process.loop.run(Process.resources.aclose())
    Process.loop.stop()


def _stop_this_worker() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
