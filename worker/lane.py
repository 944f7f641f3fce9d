"""One connection to Redis that everything of an event loop shares, pipelined by itself.

Calls made while a round trip is under way leave together in the next one, so that a burst of accepts costs one write,
one fsync and one answer: group commit without a timer. Nothing is ever repeated here: a lost answer is the caller's
to decide on, and the scripts are written so that deciding to ask again is safe.
"""

import asyncio
from hashlib import sha1
from importlib.resources import files
from typing import Any

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

MOST_CALLS_PER_TRIP = 256
TRIPS_AT_ONCE = 2
WAIT_SHARE = 0.8
"""Of a round trip's time, for the replicas: their answer must come before the round trip is given up."""


class Unavailable(Exception):
    """Redis did not answer in time, or will not write. What was asked for may or may not have happened."""


class Script:
    """A Lua script with its preludes, known to Redis by its SHA-1."""

    def __init__(self, *names: str) -> None:
        parts = (files("worker").joinpath("lua", f"{name}.lua").read_text() for name in names)
        self.source = "\n".join(parts)
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


Call = tuple[tuple[Any, ...], "asyncio.Future[Any]"]


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
        self._waiting: list[Call] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def run(self, script: Script, *arguments: Any) -> Any:
        """One script with its arguments, loaded first where this Redis does not know it."""
        try:
            return await self.call("EVALSHA", script.sha, 0, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.source, 0, *arguments)

    async def call(self, *command: Any) -> Any:
        """One command, in the next round trip that leaves."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        if len(self._trips) < TRIPS_AT_ONCE:
            trip = asyncio.create_task(self._travel())
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        return await future

    async def aclose(self) -> None:
        """Waits for what is under way, then closes the connections."""
        while self._trips:
            await asyncio.gather(*self._trips)
        await self.redis.aclose(close_connection_pool=True)

    async def _travel(self) -> None:
        while self._waiting:
            calls = self._waiting[:MOST_CALLS_PER_TRIP]
            del self._waiting[:MOST_CALLS_PER_TRIP]
            await self._round_trip(calls)

    async def _round_trip(self, calls: list[Call]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(calls)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            for _, future in calls:
                _settle(future, error)

    async def _exchange(self, calls: list[Call]) -> None:
        """Writes all the commands at once and reads their replies in order.

        A connection on which that did not go to its end is closed: the next reader must not get our answers.
        """
        pool = self.redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # packed by hiredis in C: redis-py's own packing is a third of an accept
            packed = b"".join(pack_command(command) for command, _ in calls)
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
        for (_, future), reply in zip(calls, replies, strict=True):
            _settle(future, reply)
        return any(isinstance(reply, ReadOnlyError) for reply in replies)


async def _read(connection: Any, calls: list[Call]) -> bool:
    """Tells each caller as its reply comes; whether one of them said that this is no primary."""
    moved_away = False
    for _, future in calls:
        reply = await _reply(connection)
        moved_away = moved_away or isinstance(reply, ReadOnlyError)
        _settle(future, reply)
    return moved_away


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


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
