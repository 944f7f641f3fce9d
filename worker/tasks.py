"""Celery's view: one line per task, and the start and stop of a worker process. Each task takes one id."""

import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from celery import bootsteps
from celery.signals import setup_logging, worker_init, worker_shutdown

from config.settings import load_settings
from worker import lifecycle
from worker.app import app
from worker.heartbeat import keep_ticking
from worker.lane import Unavailable
from worker.loop import LoopThread
from worker.messages import Task
from worker.resources import Resources, open_resources

log = structlog.get_logger()


class TaskFailed(Exception):
    """A task ended in a bug. Carries the kind of the error only: its text may hold what a caller wrote."""


class Process:
    """What one worker process holds between Celery's signals."""

    role: str
    """The queue that it works on."""
    parent: int
    """The process that keeps this one alive; without it this one stops."""
    loop: LoopThread
    resources: Resources
    stop_ticking: Callable[[], None]


class EventsAtOnce(bootsteps.StartStopStep):
    """Sends task events unbuffered: celery 5.6 drops buffered ones on a thread pool, and Flower shows them for ever."""

    requires = ("celery.worker.consumer.events:Events",)  # type: ignore[assignment]

    def start(self, parent: Any) -> None:
        if parent.event_dispatcher:
            parent.event_dispatcher.buffer_group = frozenset()


app.steps["consumer"].add(EventsAtOnce)

FULL_SECONDS = 0.05


class LookForFreeThreads(bootsteps.StartStopStep):
    """A worker that was full takes its next message at once.

    With prefetch off a full worker stops listening, and nothing wakes Celery's loop when a thread is free: it waits for
    its next timer, two seconds at worst, in which the worker does nothing. This is a timer for it to wake up by.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)  # type: ignore[assignment]
    _timer: Any = None

    def register_with_event_loop(self, _consumer: Any, hub: Any) -> None:
        """Celery calls it again after it has connected again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(FULL_SECONDS, _wake_up)


def _wake_up() -> None:
    """Waking is all: the loop looks at its queues whenever it is awake."""


app.steps["consumer"].add(LookForFreeThreads)


@setup_logging.connect
def keep_our_logs(**_: Any) -> None:
    """Celery asks here before it sets up logging of its own: ours stays."""


@worker_init.connect
def open_process(**_: Any) -> None:
    """Opens the loop and the connections, after the process has forked for good."""
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


def _run(name: str, an_id: str, story: Callable[[Resources, str], Coroutine[Any, Any, None]]) -> None:
    structlog.contextvars.bind_contextvars(task=name)
    try:
        Process.loop.run(story(Process.resources, an_id))
    except Unavailable:
        # nothing is lost: the job's due time wakes it again
        log.warning("task.postponed", id=an_id, reason="redis is away")
    except Exception as error:
        log.exception("task.failed", id=an_id, kind=type(error).__name__)
        raise TaskFailed(type(error).__name__) from None
    finally:
        structlog.contextvars.clear_contextvars()


@app.task(name=Task.SUBMIT.full_name)
def submit(job_id: str) -> None:
    """Buy a job's pictures."""
    _run("submit", job_id, lifecycle.submit)


@app.task(name=Task.POLL.full_name)
def poll(job_id: str) -> None:
    """Ask the upstream about a job."""
    _run("poll", job_id, lifecycle.poll)


@app.task(name=Task.COLLECT.full_name)
def collect(job_id: str) -> None:
    """Fetch and store a job's pictures."""
    # a version before this one, and whoever calls by hand, puts it where pictures would keep deadlines waiting
    _run("collect", job_id, lifecycle.collect if Process.role == "collect" else lifecycle.hand_over)


@app.task(name=Task.SETTLE.full_name)
def settle(job_id: str) -> None:
    """Decide on a job's callbacks."""
    _run("settle", job_id, lifecycle.settle)


@app.task(name=Task.RESCUE.full_name)
def rescue(job_id: str) -> None:
    """Look at a job whose time has come."""
    _run("rescue", job_id, lifecycle.rescue)


@app.task(name=Task.TELL.full_name)
def tell(delivery_id: str) -> None:
    """Tell the caller how a job ended."""
    _run("tell", delivery_id, lifecycle.tell)
