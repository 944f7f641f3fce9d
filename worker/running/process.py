"""One worker process: its resources, opened by Celery's start signal (after any fork), closed after the last task."""

from collections.abc import Callable
from typing import Any

from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down

from config.settings import load_settings
from worker.heartbeat import keep_ticking
from worker.resources import Resources, open_resources
from worker.running.loop import LoopThread
from worker.running.poison import park_what_is_refused
from worker.running.self_check import SelfCheck


class Process:
    """The resources of this process. See the module."""

    role: str
    """The queue that it works on: submit, settle, collect or tell."""
    check: SelfCheck
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
    Process.check.watch(Process.loop, Process.resources.health)
    park_what_is_refused(Process.loop, Process.resources.store.parking)
    Process.stop_ticking = Process.loop.run(keep_ticking(Process.resources, Process.role, Process.check.takes_messages))


@worker_shutting_down.connect
def note_stopping(**_: Any) -> None:
    """SIGTERM has come: from now on the self-check waits only so long for the end."""
    Process.check.note_stopping()


@worker_shutdown.connect
def close_process(**_: Any) -> None:
    """Closes everything after the last task; Celery has waited for the tasks in flight."""
    if not hasattr(Process, "resources"):
        return  # stopped before it had started
    if hasattr(Process, "stop_ticking"):
        Process.stop_ticking()
    Process.loop.run(Process.resources.aclose())
    Process.loop.stop()
