"""Steps applied to records, one log line each: the same whoever decides, a worker, a caller or an operator.

A record is read, what follows from it is decided, and the step is written by compare-and-set; a lost race reads and
decides again, on what the other writer has left.
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
"""What follows from a record as it is at that time, or None where nothing does."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A record as it stands after `apply`; `step` is the one that was written, None where none followed."""

    job: Job
    step: Step | None


async def apply(store: JobStore, job_id: str, decide: Decide) -> Applied | None:
    """Writes what follows from the record as it stands; None where there is none.

    Raises OverBudget where the step buys again and the tenant's budget has no room, RedisUnavailable.
    """
    while loaded := await store.load(job_id):
        step = decide(loaded.job, loaded.now)
        if step is None:
            return Applied(loaded.job, None)
        if await write(store, loaded, step):
            return Applied(step.job, step)
    return None


async def write(store: JobStore, before: Loaded, step: Step, *, inbox_read: int | None = None) -> bool:
    """Writes one step, and says so; False where another writer was quicker. Raises as `apply` does."""
    won = await store.advance(before, step, inbox_read=inbox_read)
    if won:
        was = before.job.status.value
        log.info(f"job.{step.job.status}", **facts(step.job), before=was, cause=step.cause)
    return won


def facts(job: Job) -> dict[str, object]:
    """What each line about a job says: nothing that the caller wrote."""
    number = job.attempt.number if job.attempt else None
    return {"job_id": job.id, "tenant": job.order.tenant, "attempt": number, "version": job.version}
