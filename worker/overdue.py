"""Ends jobs that waited until their deadline: in pages, tenants in turn, with lower priority than all other work.

Thousands of jobs may have the same deadline. As messages they would delay callbacks and polls. Here each is ended by
its own decision, a few at a time, so that the steps of other jobs are not delayed.
"""

import asyncio
import time

import structlog

from worker import lifecycle
from worker.recording import JobGone
from worker.resources import Resources
from worker.store.loaded import BrokenRecord
from worker.store.wake_up import Flaw

log = structlog.get_logger()

PAGE = 64
AT_ONCE = 8


async def end_overdue(r: Resources) -> float:
    """Ends one page of them. Returns the pause before the next page in seconds; while there are more, as long as the
    page took, so that half of the time is left for everything else.
    """
    began = time.monotonic()
    ids = await r.store.queue.overdue(PAGE)
    room = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(_end(r, job_id, room) for job_id in ids))
    if ids:
        log.info("overdue.ended", jobs=len(ids))
    return time.monotonic() - began if len(ids) == PAGE else r.settings.tick_seconds


async def _end(r: Resources, job_id: str, room: asyncio.Semaphore) -> None:
    """Ends one job. After an error (Redis away, a bug) the job waits for the next time, and the others continue."""
    async with room:
        try:
            await lifecycle.settle(r, job_id)
        except JobGone:
            return
        except BrokenRecord:
            await r.store.set_aside(job_id, "overdue", Flaw.BROKEN_RECORD)
        except Exception as error:  # noqa: BLE001 - the kind only: its text may hold what a caller wrote
            log.warning("overdue.left", job_id=job_id, kind=type(error).__name__)
