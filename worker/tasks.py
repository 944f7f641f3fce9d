"""The Celery tasks, one line each. Each takes one id, and is a coroutine on the process's event loop."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from worker import lifecycle
from worker.app import app
from worker.recording import JobGone
from worker.resources import Resources
from worker.running.celery_pool import ForgetUnacknowledged, TakeWhatFits, TaskFailed
from worker.running.process import Process
from worker.running.remote_control import answer_questions_only
from worker.running.task_events import TaskEvents, WakeUp
from worker.store.lane import RedisUnavailable
from worker.store.loaded import BrokenRecord
from worker.store.messages import Task
from worker.store.wake_up import Flaw

log = structlog.get_logger()

Story = Callable[[Resources, str], Coroutine[Any, Any, None]]

answer_questions_only()

app.steps["consumer"].update({TakeWhatFits, ForgetUnacknowledged, TaskEvents})
task = partial(app.task, Request=WakeUp)


async def _run(name: str, an_id: str, story: Story) -> None:
    structlog.contextvars.bind_contextvars(task=name)
    try:
        await _told_or_parked(an_id, story)
    except RedisUnavailable:
        # nothing is lost: the due time brings the job back
        log.warning("task.postponed", id=an_id, reason="redis is away")
    except Exception as error:
        log.exception("task.failed", id=an_id, kind=type(error).__name__)
        raise TaskFailed(type(error).__name__) from None


async def _told_or_parked(an_id: str, story: Story) -> None:
    store = Process.resources.store
    try:
        await story(Process.resources, an_id)
    except JobGone:
        await store.parking.park(Process.role, Flaw.NO_JOB, an_id.encode())
    except BrokenRecord as error:
        log.error("record.broken", id=an_id, kind=str(error), help="darkroom parked")
        await store.set_aside(an_id, Process.role, Flaw.BROKEN_RECORD)


@task(name=Task.SUBMIT.full_name)
async def submit(job_id: str) -> None:
    """Buy a job's images."""
    await _run("submit", job_id, lifecycle.submit)


@task(name=Task.POLL.full_name)
async def poll(job_id: str) -> None:
    """Ask the upstream about a job."""
    await _run("poll", job_id, lifecycle.poll)


@task(name=Task.COLLECT.full_name)
async def collect(job_id: str) -> None:
    """Fetch and store a job's images."""
    # an older version, or a call by hand, may put it into `settle`, where images would delay deadlines
    await _run("collect", job_id, lifecycle.collect if Process.role == "collect" else lifecycle.hand_over)


@task(name=Task.SETTLE.full_name)
async def settle(job_id: str) -> None:
    """Decide on a job's callbacks."""
    await _run("settle", job_id, lifecycle.settle)


@task(name=Task.RESCUE.full_name)
async def rescue(job_id: str) -> None:
    """Look at a job that is due."""
    await _run("rescue", job_id, lifecycle.rescue)


@task(name=Task.TELL.full_name)
async def tell(delivery_id: str) -> None:
    """Send a webhook delivery."""
    await _run("tell", delivery_id, lifecycle.tell)
