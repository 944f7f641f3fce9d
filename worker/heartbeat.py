"""The heartbeat: what a worker process does by the clock. It moves due jobs into Celery, and reports that it is alive.

Any number of processes may do it at the same time, because each move is one script.
"""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable

import structlog

from worker.images.removal import Forgetting
from worker.installation import Installation, join_in_time
from worker.overdue import end_overdue
from worker.resources import Resources, pool_limits
from worker.store.lane import RedisUnavailable

log = structlog.get_logger()

LOOK_SECONDS = 3.0
ALIVE_SECONDS = 2.0
NOT_YET_SECONDS = 0.2
"""A process that has just started is reported as soon as its consumer looks at the queue."""
LINES_SECONDS = 1.0
OUTBOX_SECONDS, BUSY_OUTBOX_SECONDS = 0.2, 0.02
SWEEP_SECONDS = 30.0


async def keep_ticking(r: Resources, role: str, takes_messages: Callable[[], bool]) -> Callable[[], None]:
    """Starts the periodic tasks on this loop; returns what stops them.

    Each is a task of its own, because an image store that hangs must not delay due jobs. `role` is the queue of this
    process, `takes_messages` whether its consumer is at work.
    """

    async def note_alive(r: Resources) -> float:
        # a worker whose event loop lives and whose consumer does not is as good as dead
        name, takes = f"{platform.node()}:{os.getpid()}", takes_messages()
        await (r.store.condition.note_alive(name, role) if takes else r.store.condition.note_standing_still(name))
        return ALIVE_SECONDS if takes else NOT_YET_SECONDS

    async def empty_outbox(r: Resources) -> float:
        return await _empty_outbox(r, queue=role)

    clocks = [
        asyncio.create_task(_every(r, _tick)),
        asyncio.create_task(_every(r, end_overdue)),
        asyncio.create_task(_every(r, empty_outbox)),
        asyncio.create_task(_every(r, _look_at_lines)),
        asyncio.create_task(_every(r, _look)),
        asyncio.create_task(_every(r, note_alive)),
        asyncio.create_task(_every(r, _sweep)),
        asyncio.create_task(join_in_time(Installation(r.lane, r.store, r.images.store))),
    ]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for clock in clocks:
            loop.call_soon_threadsafe(clock.cancel)

    return stop


async def _every(r: Resources, act: Callable[[Resources], Awaitable[float]]) -> None:
    """Calls `act` for ever, with the pause (seconds) that it returns. No error ends this."""
    while True:
        try:
            pause = await act(r)
        except RedisUnavailable as error:
            r.health.redis_answers_since = None
            log.warning("redis.away", reason=str(error))
            pause = r.settings.tick_seconds
        except Exception as error:
            log.exception("clock.failed", act=act.__name__, kind=type(error).__name__)
            pause = LOOK_SECONDS
        await asyncio.sleep(pause)


async def _tick(r: Resources) -> float:
    """Moves due jobs. The pause is until the next job is due, at most a tick, and never zero (no busy loop)."""
    jobs, deliveries, wait = await r.store.queue.tick()
    if jobs or deliveries:
        log.info("tick.moved", jobs=jobs, deliveries=deliveries)
    tick_seconds = r.settings.tick_seconds
    return tick_seconds if wait is None else min(tick_seconds, max(0.02, wait / 1000))


async def _empty_outbox(r: Resources, queue: str) -> float:
    """Sends messages that wait for this process' own queue, so a process that is busy takes no more than it can do."""
    return BUSY_OUTBOX_SECONDS if await r.store.queue.empty_outbox(queue) else OUTBOX_SECONDS


async def _look_at_lines(r: Resources) -> float:
    """Checks the lines: a worker that died with a place wakes nobody."""
    await r.notifier.deliveries.look_at_lines()
    return LINES_SECONDS


async def _look(r: Resources) -> float:
    """Reports to Redis: upstream accounts, the state of callbacks and image store."""
    r.accounts.refresh()
    await r.store.queue.configure(pool_limits(r))
    await r.store.queue.adopt_messages()
    r.health.redis_answers_since = r.health.redis_answers_since or time.monotonic()
    await r.health.look(r.store, r.images.store)
    return LOOK_SECONDS


async def _sweep(r: Resources) -> float:
    await forget_old(r)
    return SWEEP_SECONDS


async def forget_old(r: Resources) -> None:
    """Removes jobs whose retention is over. While the image store is away their folders wait."""
    forgetting = Forgetting(r.lane, r.store, r.images.store)
    away = bool(r.health.images_away)
    await forgetting.expired(r.settings.retention_seconds * 1000, keep_folders=away)
    if not away:
        await forgetting.sweep()
