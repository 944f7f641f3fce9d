"""Ends the jobs that waited past their deadline: in pages, tenants in turn, behind everything that cannot wait.

Thousands of jobs may share a deadline. As messages they would stand before callbacks and polls; here each is ended by
its own decision, a few at a time, so that the steps of other jobs find room on the way to Redis.
"""

import asyncio

import structlog

from worker import lifecycle
from worker.resources import Resources

log = structlog.get_logger()

PAGE = 64
AT_ONCE = 8


async def end_overdue(r: Resources) -> float:
    """Ends one page of them. Returns the pause until the next one, in seconds: none while there are more."""
    ids = await r.store.queue.overdue(PAGE)
    room = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(_end(r, job_id, room) for job_id in ids))
    if ids:
        log.info("overdue.ended", jobs=len(ids))
    return 0.0 if len(ids) == PAGE else r.settings.tick_seconds


async def _end(r: Resources, job_id: str, room: asyncio.Semaphore) -> None:
    """Redis away, or a bug in one job, leaves it to the next time; the others go on."""
    async with room:
        try:
            await lifecycle.settle(r, job_id)
        except Exception as error:  # noqa: BLE001 - the kind only: its text may hold what a caller wrote
            log.warning("overdue.left", job_id=job_id, kind=type(error).__name__)
