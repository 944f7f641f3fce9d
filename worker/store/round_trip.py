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
"""The share of the time-out within which a script may run. The rest is for its answer."""
EARLY_MS = 100
"""How far (ms) Redis' clock may be behind our estimate before a script is refused."""
WAIT_SHARE = 0.8
"""The share of a round trip's time that WAIT may take; its answer must come before the time-out."""


@dataclass(slots=True)
class Command:
    """A command that waits or is in flight; `made` is by our own clock. With a `clock` it is a script with limits."""

    command: tuple[Any, ...]
    made: Milliseconds
    clock: SharedClock | None = None
    has_left: bool = False
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def words(self, run_ms: Milliseconds) -> tuple[Any, ...]:
        """The command as it is sent. Its time limits use the present estimate of Redis' clock."""
        if self.clock is None:
            return self.command
        made = self.clock.at(self.made)
        return (*self.command, made - EARLY_MS, made + run_ms)

    def settle(self, reply: Any) -> None:
        """Gives the reply or error to the waiting caller, if it still waits."""
        if self.answer.done():
            return
        if isinstance(reply, Exception):
            self.answer.set_exception(translated(reply))
        else:
            self.answer.set_result(reply)


class RoundTrips:
    """Makes round trips, each within the time-out. With `replicas`, one counts only if so many have all its writes."""

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int) -> None:
        self._redis, self._timeout_seconds, self._replicas = redis, timeout_seconds, replicas
        self.gate = Gate(redis, replicas)
        self.run_ms: Milliseconds = int(timeout_seconds * RUN_SHARE * 1000)
        wait: tuple[Any, ...] = ("WAIT", replicas, int(timeout_seconds * WAIT_SHARE * 1000))
        self._wait = pack_command(wait) if replicas else b""

    async def make(self, calls: list[Command]) -> bool:
        """Settles each call with its reply, or with the error. Returns whether there was no error."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            for call in calls:
                call.settle(error)
            return False
        return True

    async def _exchange(self, calls: list[Command]) -> None:
        """Writes all commands at once and reads their replies in order.

        After an error in between the connection is closed, because the next reader must not get our replies.
        """
        pool = self._redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self.gate.check(connection)
            # packed by hiredis in C: packing by redis-py would be a third of the cost of an accept
            packed = b"".join(pack_command(call.words(self.run_ms)) for call in calls)
            for call in calls:
                call.has_left = True
            await connection.send_packed_command(packed + self._wait)
            moved_away = await (self._read_replicated if self._wait else _read)(connection, calls)
            if moved_away:  # a primary that became a replica: a new connection may reach the new primary
                await connection.disconnect(nowait=True)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)

    async def _read_replicated(self, connection: Any, calls: list[Command]) -> bool:
        """Settles no call before the replicas have all writes: one WAIT at the end of the round trip covers them."""
        replies = [await _reply(connection) for _ in calls]
        have_it = await _reply(connection)
        if isinstance(have_it, Exception) or have_it < self._replicas:
            raise TimeoutError(f"{have_it} of {self._replicas} replicas")
        for call, reply in zip(calls, replies, strict=True):
            call.settle(reply)
        return any(isinstance(reply, ReadOnlyError) for reply in replies)


async def _read(connection: Any, calls: list[Command]) -> bool:
    """Settles each call as its reply comes. Returns whether a reply said that this is not the primary."""
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
