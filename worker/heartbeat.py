"""What a worker process does by the clock: moves due jobs into Celery, and says that it is alive.

Any number of processes may do it at the same time; each move is one script.
"""

import asyncio
import os
import platform
from collections.abc import Callable

import structlog

from worker.lane import Unavailable
from worker.resources import Resources, pool_limits

log = structlog.get_logger()

ALIVE_SECONDS = 10
"""A worker not heard of for that long counts as gone."""


async def keep_ticking(r: Resources, parent: int, orphaned: Callable[[], None]) -> Callable[[], None]:
    """Starts the clock on this loop. Returns what stops it. Calls `orphaned` once the parent process is gone."""
    ticking = asyncio.create_task(_tick_for_ever(r, parent, orphaned))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(ticking.cancel)

    return stop


async def _tick_for_ever(r: Resources, parent: int, orphaned: Callable[[], None]) -> None:
    configured = False
    while True:
        try:
            if not configured:
                await r.store.configure(pool_limits(r))
                configured = True
            jobs, deliveries, wait = await r.store.tick()
            await r.lane.call("SET", f"worker:{platform.node()}:{os.getpid()}", r.store.now(), "EX", ALIVE_SECONDS)
            if jobs or deliveries:
                log.info("tick.moved", jobs=jobs, deliveries=deliveries)
        except Unavailable as error:
            configured, wait = False, None  # a Redis that comes back may have lost the pool
            log.warning("redis.away", reason=str(error))
        if os.getppid() != parent:
            orphaned()
            return
        await asyncio.sleep(_pause(r.settings.tick_seconds, wait))


def _pause(tick_seconds: float, wait: int | None) -> float:
    """Until the next job is due, but never longer than a tick, and never a busy loop."""
    return tick_seconds if wait is None else min(tick_seconds, max(0.02, wait / 1000))
