"""One connection to Redis that everything of an event loop shares, pipelined by itself.

Calls made while a round trip is under way leave together in the next one, so that a burst of accepts costs one write,
one fsync and one answer: group commit without a timer. What may have been done is not repeated here: a lost answer is
the caller's to decide on, and the scripts are written so that deciding to ask again is safe.

A round trip that is given up is not undone: its bytes may be executed later. So every script carries the time until
which it may run (lua/clock.lua), and what was not done until then never will be.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, Sentinel, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from config.redis_address import RedisAddress, parse_redis_address
from worker.clock import Milliseconds, RedisClock, steady_ms

MOST_CALLS_PER_TRIP = 256
TRIPS_AT_ONCE = 2
MOST_WAITING = 4096
"""Calls that have not left yet; more are refused at once."""
RUN_SHARE = 0.8
"""Of the time-out: until then a script may run. The rest is its answer's, so that what was done is heard of."""
EARLY_MS = 100
"""Redis' clock may be that far behind what is believed of it before a script is refused."""
WAIT_SHARE = 0.8
"""Of a round trip's time, for the replicas: their answer must come before the round trip is given up."""


class Unavailable(Exception):
    """Redis did not answer in time, or will not write. What was asked for may or may not have happened."""


class Script:
    """A Lua script with its preludes, known to Redis by its SHA-1.

    One that only brings new load is refused where Redis is out of memory; all others must go on, as what they record
    is paid for, and what frees memory is among them.
    """

    def __init__(self, *names: str, new_load: bool = False) -> None:
        flags = "allow-cross-slot-keys" if new_load else "allow-oom,allow-cross-slot-keys"
        parts = (files("worker").joinpath("lua", f"{name}.lua").read_text() for name in names)
        self.source = "\n".join((f"#!lua flags={flags}", *parts))
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


WRITE = Script("clock", "write")


@dataclass(slots=True)
class Call:
    """A command that waits or is under way; `made` on our own clock. A guarded one is told when it may run."""

    command: tuple[Any, ...]
    answer: "asyncio.Future[Any]"
    made: Milliseconds
    guarded: bool


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to whatever the sentinels call the primary at the moment of connecting."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Closes the connections; with those in use, which is the end of the pool, also those to the sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def connect(url: str, timeout_seconds: float, connections: int = 8, health_check_seconds: int = 0) -> Redis:
    """A client that gives up after `timeout_seconds` and never repeats a command by itself.

    The one place that opens connections to Redis, but for Celery's own (config/broker.py).
    """
    address = parse_redis_address(url)
    options = {
        "max_connections": connections,
        "timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "socket_keepalive": True,
        "health_check_interval": health_check_seconds,
        "retry": Retry(NoBackoff(), 0),
        "db": address.database,
        "username": address.username,
        "password": address.password,
        **(address.tls or {}),
    }
    if address.primary:
        return Redis(connection_pool=_sentinel_pool(address, timeout_seconds, options))
    (host, port) = address.hosts[0]
    kind = Connection if address.tls is None else SSLConnection
    return Redis(connection_pool=BlockingConnectionPool(connection_class=kind, host=host, port=port, **options))


def _sentinel_pool(address: RedisAddress, timeout_seconds: float, options: dict[str, Any]) -> SentinelPool:
    # a sentinel whose machine is gone must leave time to ask the others: they are asked one after another
    share = timeout_seconds / (len(address.hosts) + 1)
    asking: dict[str, Any] = {"socket_connect_timeout": share, "socket_timeout": share, "retry": Retry(NoBackoff(), 0)}
    if address.tls is not None:
        asking |= {"ssl": True, **address.tls}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=asking | dict(address.sentinel_login))  # type: ignore[no-untyped-call]
    kind = SentinelManagedConnection if address.tls is None else SentinelManagedSSLConnection
    return SentinelPool(address.primary, sentinel, connection_class=kind, **options)  # type: ignore[no-untyped-call]


class Lane:
    """Runs commands and scripts; see the module's words on batching.

    Raises Unavailable where Redis is away, hangs, is read-only or out of memory. With `replicas`, a round trip counts
    only once so many replicas have everything that it wrote; else it is Unavailable, which never says "not done".
    """

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int = 0) -> None:
        self.redis = redis
        self._timeout_seconds = timeout_seconds
        wait: tuple[Any, ...] = ("WAIT", replicas, int(timeout_seconds * WAIT_SHARE * 1000))
        self._wait = pack_command(wait) if replicas else b""
        self._replicas = replicas
        self.clock = RedisClock()
        self._waiting: deque[Call] = deque()
        self._trips: set[asyncio.Task[None]] = set()

    def now(self) -> Milliseconds:
        """Milliseconds since 1970 by Redis' clock, as of its last answer."""
        return self.clock.now()

    async def run(self, script: Script, *arguments: Any) -> Any:
        """One script with its arguments, loaded first where this Redis does not know it. Its reply begins with `now`.

        Refused by the time on Redis' clock although it came in time by ours, the clock was not what it was believed to
        be: nothing was done, and it is asked once more.
        """
        made = steady_ms()
        reply = await self._run_once(script, arguments, made)
        if _was_refused(reply) and self._has_time(made):
            self.clock.set(reply[0])
            reply = await self._run_once(script, arguments, made)
        self.clock.learn(reply[0])
        if _was_refused(reply):
            raise Unavailable("it came to Redis too late, and was not done")
        return reply

    async def write(self, *command: Any) -> Any:
        """One command that writes, not later than a script may."""
        return (await self.run(WRITE, *command))[1]

    async def call(self, *command: Any) -> Any:
        """One command that only reads, in the next round trip that leaves."""
        return await self._ask(command, steady_ms(), guarded=False)

    async def aclose(self) -> None:
        """Waits for what is under way, then closes the connections."""
        while self._trips:
            await asyncio.gather(*self._trips)
        await self.redis.aclose(close_connection_pool=True)

    async def _run_once(self, script: Script, arguments: tuple[Any, ...], made: Milliseconds) -> Any:
        try:
            return await self._ask(("EVALSHA", script.sha, 0, *arguments), made, guarded=True)
        except NoScriptError:
            return await self._ask(("EVAL", script.source, 0, *arguments), made, guarded=True)

    async def _ask(self, command: tuple[Any, ...], made: Milliseconds, *, guarded: bool) -> Any:
        """Answered or Unavailable within the time-out from when it was made, whether it has left by then or not."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("too many calls wait for Redis already")
        loop = asyncio.get_running_loop()
        call = Call(command, loop.create_future(), made, guarded)
        left = self._timeout_seconds - (steady_ms() - made) / 1000
        giving_up = loop.call_later(left, _settle, call.answer, TimeoutError())
        self._waiting.append(call)
        if len(self._trips) < TRIPS_AT_ONCE:
            self._trips.add(asyncio.create_task(self._travel()))
        try:
            return await call.answer
        finally:
            giving_up.cancel()

    def _has_time(self, made: Milliseconds) -> bool:
        return steady_ms() - made < self._timeout_seconds * RUN_SHARE * 1000

    async def _travel(self) -> None:
        """Round trips until nobody waits. Ends in the turn in which it sees that: a later call starts another."""
        try:
            while self._waiting:
                calls = self._board()
                if calls:
                    await self._round_trip(calls)
        finally:
            self._trips.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _board(self) -> list[Call]:
        """Who leaves with the next trip. Who has been told already, or is not waited for any more, stays unsent."""
        calls: list[Call] = []
        while self._waiting and len(calls) < MOST_CALLS_PER_TRIP:
            call = self._waiting.popleft()
            if not call.answer.done():
                calls.append(call)
        return calls

    async def _round_trip(self, calls: list[Call]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            for call in calls:
                _settle(call.answer, error)

    def _words(self, call: Call) -> tuple[Any, ...]:
        """What is sent. The times are told by what is believed of Redis' clock now, not when the call was made."""
        if not call.guarded:
            return call.command
        made = self.clock.at(call.made)
        return (*call.command, made - EARLY_MS, made + int(self._timeout_seconds * RUN_SHARE * 1000))

    async def _exchange(self, calls: list[Call]) -> None:
        """Writes all the commands at once and reads their replies in order.

        A connection on which that did not go to its end is closed: the next reader must not get our answers.
        """
        pool = self.redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # packed by hiredis in C: redis-py's own packing is a third of an accept
            packed = b"".join(pack_command(self._words(call)) for call in calls)
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
            _settle(call.answer, reply)
        return any(isinstance(reply, ReadOnlyError) for reply in replies)


async def _read(connection: Any, calls: list[Call]) -> bool:
    """Tells each caller as its reply comes; whether one of them said that this is no primary."""
    moved_away = False
    for call in calls:
        reply = await _reply(connection)
        moved_away = moved_away or isinstance(reply, ReadOnlyError)
        _settle(call.answer, reply)
    return moved_away


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _was_refused(reply: Any) -> bool:
    return len(reply) == 2 and reply[1] in (b"too_late", b"too_early")


def _settle(future: "asyncio.Future[Any]", reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(_translated(reply))
    else:
        future.set_result(reply)


CANNOT_WRITE = ("READONLY", "OOM", "MISCONF", "NOREPLICAS", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN")


def _translated(error: Exception) -> Exception:
    """Foreign errors become Unavailable with the cause kept, but for a script that is not loaded, and bugs."""
    text = str(error)
    if isinstance(error, NoScriptError) or not isinstance(error, RedisError | OSError | TimeoutError):
        return error
    if type(error) is ResponseError and not any(word in text for word in CANNOT_WRITE):
        return error
    unavailable = Unavailable(type(error).__name__)
    unavailable.__cause__ = error
    return unavailable
