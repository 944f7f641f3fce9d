"""What a worker process does by the clock: moves due jobs into Celery, and says that it is alive.

Any number of processes may do it at the same time; each move is one script.
"""

import asyncio
import os
import platform
import time
from collections.abc import Callable

import structlog

from worker.images.store import job_folder
from worker.lane import Unavailable
from worker.resources import Resources, pool_limits

log = structlog.get_logger()

LOOK_SECONDS = 3.0
SWEEP_SECONDS = 30.0


async def keep_ticking(r: Resources, parent: int, orphaned: Callable[[], None]) -> Callable[[], None]:
    """Starts the clock on this loop. Returns what stops it. Calls `orphaned` once the parent process is gone."""
    ticking = asyncio.create_task(_tick_for_ever(r, parent, orphaned))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(ticking.cancel)

    return stop


async def _tick_for_ever(r: Resources, parent: int, orphaned: Callable[[], None]) -> None:
    rounds = Rounds()
    while os.getppid() == parent:
        try:
            wait = await rounds.make(r)
        except Unavailable as error:
            rounds, wait = Rounds(), None  # a Redis that comes back may have lost the pool
            log.warning("redis.away", reason=str(error))
        await asyncio.sleep(_pause(r.settings.tick_seconds, wait))
    orphaned()


class Rounds:
    """What is done at every tick, and what only now and then."""

    def __init__(self) -> None:
        self._configured = False
        self._last_look = self._last_sweep = 0.0

    async def make(self, r: Resources) -> int | None:
        """One round; how long until the next job is due, in milliseconds."""
        if not self._configured:
            await r.store.configure(pool_limits(r))
            self._configured = True
        if time.monotonic() - self._last_look > LOOK_SECONDS:
            self._last_look = time.monotonic()
            await r.health.look(r.store, r.pictures.store)
            await r.store.note_alive(f"{platform.node()}:{os.getpid()}")
        if time.monotonic() - self._last_sweep > SWEEP_SECONDS:
            self._last_sweep = time.monotonic()
            await forget_old(r)
        jobs, deliveries, wait = await r.store.tick()
        if jobs or deliveries:
            log.info("tick.moved", jobs=jobs, deliveries=deliveries)
        return wait


async def forget_old(r: Resources) -> None:
    """Deletes jobs whose retention is over, pictures first: a crash between the two is made up for next time."""
    before = r.store.now() - r.settings.retention_seconds * 1000
    for job_id in await r.store.finished_before(before):
        loaded = await r.store.load(job_id)
        if loaded:
            await r.pictures.store.delete(job_folder(loaded.job.order.tenant, loaded.job.order.created_at, job_id))
            await r.store.forget(loaded.job)


def _pause(tick_seconds: float, wait: int | None) -> float:
    """Until the next job is due, but never longer than a tick, and never a busy loop."""
    return tick_seconds if wait is None else min(tick_seconds, max(0.02, wait / 1000))
