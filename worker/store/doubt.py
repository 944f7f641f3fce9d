"""What became of an accept whose reply was lost. It is asked for until it is known: a refusal must be one.

A connection that breaks while Redis is at work leaves open whether the job is there. Answering 503 then, a job might be
bought behind the back of a caller who was told that nothing was accepted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from worker.store.lane import Lane, RedisUnavailable

log = structlog.get_logger()
T = TypeVar("T")

DOUBT_SECONDS = 10.0
"""A Redis that was killed is back by then, or a failover is through."""
PAUSE_SECONDS = 0.1


class Doubtful(Exception):
    """It cannot be said whether it was done. Whoever asked is told neither: no answer is the only true one."""


async def settled(lane: Lane, key: str, run: Callable[[], Awaitable[T]], seconds: float = DOUBT_SECONDS) -> T:
    """The reply of a script that makes `key`, and says the same again where the key is there.

    Raises RedisUnavailable only where it is certain that it was not done and never will be, otherwise Doubtful: only
    those are left in doubt whose script was on its way in the moment in which Redis fell silent.
    """
    began = time.monotonic()
    await _is_heard(lane)
    try:
        return await run()
    except RedisUnavailable as error:
        if not error.may_be_done:
            raise
    while time.monotonic() - began < seconds:
        await asyncio.sleep(PAUSE_SECONDS)
        # what Redis has not begun by now is refused by the time that the script carries (lua/includes/clock.lua)
        is_too_late = time.monotonic() - began > lane.timeout_seconds
        try:
            is_there = await lane.call("EXISTS", key)
            if is_there:
                return await run()
        except RedisUnavailable:
            continue
        if is_too_late:
            raise RedisUnavailable("its reply was lost, and it was not done")
    log.warning("accept.doubtful", help="Redis has not said whether it was done: the connection ends without an answer")
    raise Doubtful


async def _is_heard(lane: Lane) -> None:
    """Asks a quiet Redis whether it is there, before anything is sent that leaves a doubt. Raises RedisUnavailable."""
    if lane.is_heard:
        return
    try:
        await lane.call("PING")
    except RedisUnavailable as error:
        raise type(error)(str(error)) from error
