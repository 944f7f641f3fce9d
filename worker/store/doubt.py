"""Doubt: an accept whose reply was lost. Redis is asked until the result is known, because a refusal must be true.

If a connection breaks while Redis works, nobody knows whether the job exists. If the API then answered 503, a job might
be bought although its caller was told that nothing was accepted.
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
"""Within this time a killed Redis is back, or a failover has ended."""
PAUSE_SECONDS = 0.1


class Doubtful(Exception):
    """Nobody knows whether it was done. The caller gets no answer, because any answer might be wrong."""


async def settled(lane: Lane, key: str, run: Callable[[], Awaitable[T]], seconds: float = DOUBT_SECONDS) -> T:
    """The reply of a script that makes `key`, and that replies the same again if the key exists.

    Raises RedisUnavailable only if it is certain that it was not done and never will be, otherwise Doubtful. Doubt is
    only possible for scripts that were in flight when Redis stopped answering.
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
        # a script that Redis has not begun by now refuses to run: it carries its latest time (lua/includes/clock.lua)
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
    """Checks that Redis answers before something is sent that could be left in doubt. Raises RedisUnavailable."""
    if lane.is_heard:
        return
    try:
        await lane.call("PING")
    except RedisUnavailable as error:
        raise type(error)(str(error)) from error
