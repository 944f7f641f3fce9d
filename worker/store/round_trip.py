"""A round trip to Redis: many calls written at once on one connection, and their replies read in order."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hiredis import pack_command
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from worker.store.clock import Milliseconds, SharedClock
from worker.store.gate import Gate
from worker.store.unavailable import translated

RUN_SHARE = 0.8
"""Of the time-out: until then a script may run. The rest is its answer's, so that what was done is heard of."""
EARLY_MS = 100
"""Redis' clock may be that far behind what is believed of it before a script is refused."""
WAIT_SHARE = 0.8
"""Of a round trip's time, for the replicas: their answer must come before the round trip is given up."""


@dataclass(slots=True)
class Call:
    """A command that waits or is under way; `made` on our own clock. `clock` tells a script when it may run."""

    command: tuple[Any, ...]
    made: Milliseconds
    clock: SharedClock | None = None
    has_left: bool = False
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def words(self, run_ms: Milliseconds) -> tuple[Any, ...]:
        """What is sent. The times are told by what is believed of Redis' clock now, not when the call was made."""
        if self.clock is None:
            return self.command
        made = self.clock.at(self.made)
        return (*self.command, made - EARLY_MS, made + run_ms)

    def settle(self, reply: Any) -> None:
        """Tells whoever waits, if anybody still does."""
        if self.answer.done():
            return
        if isinstance(reply, Exception):
            self.answer.set_exception(translated(reply))
        else:
            self.answer.set_result(reply)


class RoundTrips:
    """Makes them, each within the time-out. With `replicas`, one counts only once so many have all that it wrote."""

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int) -> None:
        self._redis, self._timeout_seconds, self._replicas = redis, timeout_seconds, replicas
        self.gate = Gate(redis, replicas)
        self.run_ms: Milliseconds = int(timeout_seconds * RUN_SHARE * 1000)
        wait: tuple[Any, ...] = ("WAIT", replicas, int(timeout_seconds * WAIT_SHARE * 1000))
        self._wait = pack_command(wait) if replicas else b""

    async def make(self, calls: list[Call]) -> bool:
        """Tells each caller its reply, or what went wrong instead; whether nothing went wrong."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            for call in calls:
                call.settle(error)
            return False
        return True

    async def _exchange(self, calls: list[Call]) -> None:
        """Writes all the commands at once and reads their replies in order.

        A connection on which that did not go to its end is closed: the next reader must not get our answers.
        """
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self.gate.check(connection)
            # packed by hiredis in C: redis-py's own packing is a third of an accept
            packed = b"".join(pack_command(call.words(self.run_ms)) for call in calls)
            for call in calls:
                call.has_left = True
            await connection.send_packed_command(packed + self._wait)
            moved_away = await (self._read_replicated if self._wait else _read)(connection, calls)
            if moved_away:  # a primary that became a replica: the next connection may reach the new one
                await connection.disconnect(nowait=True)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def _read_replicated(self, connection: Any, calls: list[Call]) -> bool:
        """Nobody is told before the replicas have it: one WAIT at the end of the trip covers all of its writes."""
        replies = [await _reply(connection) for _ in calls]
        have_it = await _reply(connection)
        if isinstance(have_it, Exception) or have_it < self._replicas:
            raise TimeoutError(f"{have_it} of {self._replicas} replicas")
        for call, reply in zip(calls, replies, strict=True):
            call.settle(reply)
        return any(isinstance(reply, ReadOnlyError) for reply in replies)


async def _read(connection: Any, calls: list[Call]) -> bool:
    """Tells each caller as its reply comes; whether one of them said that this is no primary."""
    moved_away = False
    for call in calls:
        reply = await _reply(connection)
        moved_away = moved_away or isinstance(reply, ReadOnlyError)
        call.settle(reply)
    return moved_away


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
