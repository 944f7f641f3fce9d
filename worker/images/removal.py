"""Removal of finished jobs (deletion, purge, retention): first the record, which leaves a tombstone, then the folder.

The tombstone names the folder. A worker that is storing an image of the job at that time finds no record and removes
its file. If it dies before that, the sweep removes the file, because the tombstone outlives the longest collection. So
a kill between any two steps leaves either the whole job, or a tombstone whose folder will be removed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from worker.images.store import ImageStore, StoreError
from worker.job.folder import folder_of
from worker.job.record import Job, Milliseconds
from worker.store import keys
from worker.store.jobs import TOMBSTONE_MS, JobStore
from worker.store.lane import Lane, RedisUnavailable
from worker.store.script import script

PAGE = 100
AT_ONCE = 4
"""Removals at the same time in one process: they share its threads with images that are being stored."""
PAGE_MS = 120_000
"""If the process dies, its page of jobs is due again after this time."""
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 60_000, 3_600_000

log = structlog.get_logger()


class Due(NamedTuple):
    """A page of what is due in an index."""

    names: list[str]


class Failures(NamedTuple):
    """How often in a row something could not be removed."""

    failures: int


@script
def claim_due(*, index: str, age_ms: Milliseconds, most: int, back_ms: Milliseconds) -> Due:
    """Takes members that have been in an index for `age_ms`. Those that stay in it are due again after `back_ms`."""


@script
def removal_failed(
    *, index: str, age_ms: Milliseconds, name: str, first_pause_ms: Milliseconds, longest_pause_ms: Milliseconds
) -> Failures:
    """Schedules another try after a pause that doubles each time. `age_ms` as for claim_due."""


@script
def removed(*, folder: str) -> None:
    """A folder is gone for good."""


@dataclass(frozen=True)
class Forgetting:
    """Removes finished jobs. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    lane: Lane
    store: JobStore
    images: ImageStore

    async def forget(self, job: Job) -> int | None:
        """Removes one finished job. Returns the number of files removed; None if they could not be removed now."""
        await self.store.forget(job)
        # where no worker can be storing images of it any more, its tombstone may be removed with its folder
        settled = not job.accepts_late_result and job.updated_at + TOMBSTONE_MS < self.store.now()
        return await self._remove(folder_of(job), for_good=settled)

    async def expired(self, retention: Milliseconds, *, keep_folders: bool = False) -> None:
        """Removes every job that ended longer ago. With `keep_folders` (store away) folders wait for the sweep."""

        async def act(job_id: str) -> None:
            loaded = await self.store.load(job_id)
            if loaded is None:
                await self.store.lay_ghost(job_id)
            elif keep_folders:
                await self.store.forget(loaded.job)
            else:
                await self.forget(loaded.job)

        await self._pages(keys.FINISHED(), retention, act)

    async def sweep(self) -> None:
        """Removes the folders of removed jobs as soon as no worker can be storing in them any more."""

        async def act(folder: str) -> None:
            await self._remove(folder, for_good=True)

        await self._pages(keys.TOMBSTONES(), 0, act)

    async def _pages(self, index: str, age: Milliseconds, act: Callable[[str], Awaitable[None]]) -> None:
        """Acts on everything that is due, page by page. One failure does not stop the others."""
        while True:
            names = (await self.lane.run(claim_due, index=index, age_ms=age, most=PAGE, back_ms=PAGE_MS)).names
            await _some_at_once(names, lambda name: self._tried(index, age, name, act))
            if len(names) < PAGE:
                return

    async def _tried(self, index: str, age: Milliseconds, name: str, act: Callable[[str], Awaitable[None]]) -> None:
        try:
            await act(name)
        except RedisUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one must not keep the others
            await self._failed(index, age, name, error)

    async def _remove(self, folder: str, *, for_good: bool) -> int | None:
        try:
            files = await self.images.delete(folder)
        except StoreError as error:
            await self._failed(keys.TOMBSTONES(), 0, folder, error)
            return None
        if for_good:
            await self.lane.run(removed, folder=folder)
        return files

    async def _failed(self, index: str, age: Milliseconds, name: str, error: Exception) -> None:
        """Counts a failure, logs it once, and has it tried again later."""
        noted = await self.lane.run(
            removal_failed,
            index=index,
            age_ms=age,
            name=name,
            first_pause_ms=FIRST_PAUSE_MS,
            longest_pause_ms=LONGEST_PAUSE_MS,
        )
        if noted.failures == 1:
            log.warning("removal.failed", name=name, reason=f"{type(error).__name__}: {error}")


async def _some_at_once(names: Sequence[str], act: Callable[[str], Awaitable[None]]) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(name: str) -> None:
        async with turns:
            await act(name)

    await asyncio.gather(*(in_turn(name) for name in names))
