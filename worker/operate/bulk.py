"""One verb for many jobs: those of a filter are counted, then cancelled or removed, each by its own step.

A job that moves meanwhile is looked at again by the step that is applied to it: nothing is cancelled on old news.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from worker.images.removal import Forgetting
from worker.job import decisions
from worker.job.record import Job, Milliseconds, Status
from worker.job.step import Step
from worker.store.jobs import JobStore
from worker.store.steps import apply

PAGE = 200


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs. What is not given matches every job."""

    tenants: tuple[str, ...]
    statuses: frozenset[Status]
    after: Milliseconds = 0
    before: Milliseconds = 2**53
    metadata: Mapping[str, str] = field(default_factory=dict)

    def matches(self, job: Job) -> bool:
        if job.status not in self.statuses:
            return False
        return all(metadata_text(job.order.metadata.get(key)) == value for key, value in self.metadata.items())


@dataclass(frozen=True, slots=True)
class Purged:
    """Jobs that are gone, files that went with them, and folders that could not be removed yet: the sweep goes on."""

    jobs: int = 0
    files: int = 0
    folders_left: int = 0

    def and_one(self, files: int | None) -> "Purged":
        return Purged(self.jobs + 1, self.files + (files or 0), self.folders_left + (files is None))


def metadata_text(value: object) -> str | None:
    """A value of `metadata` as it is written in JSON, text without its quotes; None where there is none."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


async def matching(store: JobStore, chosen: Filter) -> AsyncIterator[Job]:
    """The jobs of a filter, tenant by tenant, newest first."""
    for tenant in chosen.tenants:
        cursor: str | None = None
        while ids := await store.page(tenant, chosen.after, chosen.before, cursor, PAGE):
            cursor = ids[-1]
            for loaded in await asyncio.gather(*(store.load(each) for each in ids)):
                if loaded and chosen.matches(loaded.job):
                    yield loaded.job


async def cancel_matching(store: JobStore, chosen: Filter) -> int:
    """Cancels every job of the filter that is still open. Returns how many it was."""

    def decide(job: Job, now: Milliseconds) -> Step | None:
        return decisions.cancelled(job, now) if chosen.matches(job) else None

    done = 0
    async for job in matching(store, chosen):
        applied = await apply(store, job.id, decide)
        done += bool(applied and applied.step)
    return done


async def purge_matching(store: JobStore, forgetting: Forgetting, chosen: Filter) -> Purged:
    """Removes every finished job of the filter, past what fails. Broken off, it goes on when it is done again."""
    purged = Purged()
    async for job in matching(store, chosen):
        if job.is_terminal:
            purged = purged.and_one(await forgetting.forget(job))
    return purged
