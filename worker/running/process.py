"""One worker process: its resources, opened by Celery's start signal (after any fork), closed after the last task."""

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
    """The resources of this process. See the module."""

    role: str
    """The queue that it works on: submit, settle, collect or tell."""
    parent: int
    """Process id of the parent; this process stops when the parent is gone."""
    loop: LoopThread
    resources: Resources
    stop_ticking: Callable[[], None]


@setup_logging.connect
def keep_our_logs(**_: Any) -> None:
    """A receiver of this signal keeps Celery from setting up its own logging; ours stays."""


@worker_init.connect
def open_process(**_: Any) -> None:
    """Opens the loop and the connections."""
    settings = load_settings()
    Process.loop = LoopThread()
    Process.loop.start()
    Process.resources = Process.loop.run(open_resources(settings))

    def stop_this_worker() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    Process.stop_ticking = Process.loop.run(
        keep_ticking(Process.resources, Process.role, Process.parent, stop_this_worker)
    )


@worker_shutdown.connect
def close_process(**_: Any) -> None:
    """Closes everything after the last task; Celery has waited for the tasks in flight."""
    if not hasattr(Process, "resources"):
        return  # stopped before it had started
    if hasattr(Process, "stop_ticking"):
        Process.stop_ticking()
    Process.loop.run(Process.resources.aclose())
    Process.loop.stop()
