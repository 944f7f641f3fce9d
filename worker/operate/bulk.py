"""Bulk operations: the jobs of a filter are counted, then cancelled or removed, each by its own step.

Each step is decided on the newest record, so a job that changes meanwhile is not cancelled on old information.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from worker.images.removal import Forgetting
from worker.job import decisions
from worker.job.filter import Filter
from worker.job.record import Job, Milliseconds
from worker.job.step import Step
from worker.store.jobs import JobStore
from worker.store.steps import apply

PAGE = 200


@dataclass(frozen=True, slots=True)
class Purged:
    """Number of removed jobs and files, and of folders that could not be removed yet (the sweep tries again)."""

    jobs: int = 0
    files: int = 0
    folders_left: int = 0

    def and_one(self, files: int | None) -> "Purged":
        return Purged(self.jobs + 1, self.files + (files or 0), self.folders_left + (files is None))


async def matching(store: JobStore, tenants: Sequence[str], chosen: Filter) -> AsyncIterator[Job]:
    """The jobs of these tenants that match the filter, tenant by tenant, newest first."""
    for tenant in tenants:
        cursor: str | None = None
        while ids := await store.page(tenant, chosen.after, chosen.before, cursor, PAGE):
            cursor = ids[-1]
            candidates = await store.matching(chosen, ids)
            for loaded in await asyncio.gather(*(store.load(each) for each in candidates)):
                if loaded and chosen.matches(loaded.job):
                    yield loaded.job


async def cancel_matching(store: JobStore, tenants: Sequence[str], chosen: Filter) -> int:
    """Cancels the matching jobs that are still open. Returns their number."""

    def decide(job: Job, now: Milliseconds) -> Step | None:
        return decisions.cancelled(job, now) if chosen.matches(job) else None

    done = 0
    async for job in matching(store, tenants, chosen):
        applied = await apply(store, job.id, decide)
        done += bool(applied and applied.step)
    return done


async def purge_matching(store: JobStore, forgetting: Forgetting, tenants: Sequence[str], chosen: Filter) -> Purged:
    """Removes the matching jobs that have finished; continues after a failure. Interrupted, it can be run again."""
    purged = Purged()
    async for job in matching(store, tenants, chosen):
        if job.is_terminal:
            purged = purged.and_one(await forgetting.forget(job))
    return purged
