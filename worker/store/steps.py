"""Applies steps to records, with one log line each, for workers, callers and operators.

A record is loaded, a step is decided, and it is written by compare-and-set. After a lost race the new record is loaded,
and the step is decided again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from worker.job.record import Job, Milliseconds
from worker.job.step import Step
from worker.store.jobs import JobStore
from worker.store.loaded import Loaded

log = structlog.get_logger()

Decide = Callable[[Job, Milliseconds], Step | None]
"""Decides the step that follows from a record at that time; None: nothing follows."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A record after `apply`; `step` is the one that was written, or None."""

    job: Job
    step: Step | None


async def apply(store: JobStore, job_id: str, decide: Decide) -> Applied | None:
    """Writes what follows from the record; None if there is no record.

    Raises OverBudget if the step buys again and the tenant's budget has no room, and RedisUnavailable.
    """
    while loaded := await store.load(job_id):
        step = decide(loaded.job, loaded.now)
        if step is None:
            return Applied(loaded.job, None)
        if await write(store, loaded, step):
            return Applied(step.job, step)
    return None


async def write(store: JobStore, before: Loaded, step: Step, *, inbox_read: int | None = None) -> bool:
    """Writes one step and its log line; False if another writer was quicker. Raises as `apply` does."""
    won = await store.advance(before, step, inbox_read=inbox_read)
    if won:
        was = before.job.status.value
        log.info(f"job.{step.job.status}", **facts(step.job), before=was, cause=step.cause)
    return won


def facts(job: Job) -> dict[str, object]:
    """The fields of every log line about a job; nothing that the caller wrote."""
    number = job.attempt.number if job.attempt else None
    return {"job_id": job.id, "tenant": job.order.tenant, "attempt": number, "version": job.version}
