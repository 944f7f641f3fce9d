"""One connection to Redis that everything of an event loop shares, pipelined by itself.

Calls made while a round trip is under way leave together in the next one, so that a burst of accepts costs one write,
one fsync and one answer: group commit without a timer. What may have been done is not repeated here: a lost answer is
the caller's to decide on, and the scripts are written so that deciding to ask again is safe.

A round trip that is given up is not undone: its bytes may be executed later. So every script carries the time until
which it may run (lua/includes/clock.lua), and what was not done until then never will be.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import structlog
from hiredis import pack_command
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from worker.store.clock import Milliseconds, SharedClock, steady_ms
from worker.store.connection import SentinelPool as SentinelPool
from worker.store.connection import connect as connect
from worker.store.fitness import Unfit, Verdict
from worker.store.gate import Gate
from worker.store.script import Script, script

log = structlog.get_logger()
P = ParamSpec("P")
R = TypeVar("R")

MOST_CALLS_PER_TRIP = 256
TRIPS_AT_ONCE = 2
MOST_WAITING = 4096
"""Calls that have not left yet; more are refused at once."""
HEARD_MS = 20
"""Longer than a trip takes where Redis is well."""
RUN_SHARE = 0.8
"""Of the time-out: until then a script may run. The rest is its answer's, so that what was done is heard of."""
EARLY_MS = 100
"""Redis' clock may be that far behind what is believed of it before a script is refused."""
WAIT_SHARE = 0.8
"""Of a round trip's time, for the replicas: their answer must come before the round trip is given up."""


class RedisUnavailable(Exception):
    """Redis did not answer in time, or will not write."""

    may_be_done = False
    """Whether what was asked for may have happened: it was on its way, and no reply to it was read."""


class RedisUnfit(RedisUnavailable):
    """There is a Redis, but not one that jobs can be trusted to (worker/store/fitness.py). Nothing was done."""


class Written(NamedTuple):
    """What Redis says to a command that writes."""

    answer: Any


class Stepped(NamedTuple):
    """The time, and by how much Redis' clock was set, if it was."""

    now: Milliseconds
    step: Milliseconds


@script
def write(*, command: Sequence[Any]) -> Written:
    """One command that writes."""


@script
def step_clock(*, believed: Milliseconds, doubt: Milliseconds, under_way: Milliseconds) -> Stepped:
    """Lets `now` go on from `believed`, which may be wrong by `doubt`, where Redis' clock was set."""


@dataclass(slots=True)
class Call:
    """A command that waits or is under way; `made` on our own clock. `clock` tells a script when it may run."""

    command: tuple[Any, ...]
    made: Milliseconds
    clock: SharedClock | None = None
    has_left: bool = False
    answer: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Lane:
    """Runs commands and scripts; see the module's words on batching.

    Raises RedisUnavailable where Redis is away, hangs, is read-only or out of memory. With `replicas`, a round trip
    counts only once so many replicas have everything that it wrote; else RedisUnavailable, which never says "not done".
    """

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int = 0) -> None:
        self.redis = redis
        self._gate = Gate(redis, replicas)
        self.timeout_seconds = timeout_seconds
        self._run_ms = int(timeout_seconds * RUN_SHARE * 1000)
        wait: tuple[Any, ...] = ("WAIT", replicas, int(timeout_seconds * WAIT_SHARE * 1000))
        self._wait = pack_command(wait) if replicas else b""
        self._replicas = replicas
        self.clock = SharedClock()
        self._waiting: deque[Call] = deque()
        self._answered_at: Milliseconds = 0
        self._trips: set[asyncio.Task[None]] = set()

    @property
    def verdict(self) -> Verdict:
        """On the server that was looked at last."""
        return self._gate.verdict

    @property
    def is_heard(self) -> bool:
        """Whether Redis is answering just now: a trip is under way, and the one before it has ended a moment ago."""
        return bool(self._trips) and steady_ms() - self._answered_at <= HEARD_MS

    def now(self) -> Milliseconds:
        """Milliseconds since 1970 by Redis' clock, as of its last answer."""
        return self.clock.now()

    async def run(self, script: Script[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """One script with its arguments, loaded first where this Redis does not know it. Its reply, by name.

        Refused by the time on Redis' clock although it came in time by ours, the clock was not what it was believed to
        be: nothing was done, and it is asked once more.
        """
        made, words = steady_ms(), script.words(arguments, named)
        reply = await self._run_once(script, words, made, self.clock)
        if _was_refused(reply) and self._has_time(made):
            await self._correct(reply[0])
            reply = await self._run_once(script, words, made, self.clock)
        self.clock.learn(reply[0])
        if _was_refused(reply):
            raise RedisUnavailable("it came to Redis too late, and was not done")
        return script.read(reply)

    async def write(self, *command: Any) -> Any:
        """One command that writes, not later than a script may."""
        return (await self.run(write, command=command)).answer

    async def call(self, *command: Any) -> Any:
        """One command that only reads, in the next round trip that leaves."""
        return await self._ask(Call(command, steady_ms()))

    async def aclose(self) -> None:
        """Waits for what is under way, then closes the connections."""
        while self._trips:
            await asyncio.gather(*self._trips)
        await self.redis.aclose(close_connection_pool=True)

    async def _run_once(
        self, script: Script[..., Any], words: tuple[Any, ...], made: Milliseconds, clock: SharedClock
    ) -> Any:
        try:
            return await self._ask(Call(("EVALSHA", script.sha, 0, *words), made, clock))
        except NoScriptError:
            return await self._ask(Call(("EVAL", script.source, 0, *words), made, clock))

    async def _correct(self, redis_now: Milliseconds) -> None:
        """Redis' clock is not what was believed. If it was set, `now` is to go on for all as if it had not been.

        Nothing of ours runs before: what is asked with the old belief is refused, and the new one is not told until
        this is settled. A machine of ours that stood still is told from it by the ticks of the others.
        """
        if not self.clock.contradicts(redis_now):
            return self.clock.set(redis_now)
        named = {"believed": self.clock.now(), "doubt": self.clock.doubt(), "under_way": self._run_ms}
        reply = await self._run_once(step_clock, step_clock.words((), named), steady_ms(), SharedClock(redis_now))
        if _was_refused(reply) and self.clock.contradicts(reply[0]):
            raise RedisUnavailable("Redis' clock was set, and Redis is slow")
        if _was_refused(reply):  # somebody else has settled it meanwhile
            return self.clock.learn(reply[0])
        now, step = step_clock.read(reply)
        if step:
            log.warning("clock.stepped", seconds=step / 1000, help="let Redis' machine slew its clock, not set it")
        return self.clock.set(now)

    async def _ask(self, call: Call) -> Any:
        """Answered or RedisUnavailable within the time-out from when it was made, whether it has left or not."""
        if len(self._waiting) >= MOST_WAITING:
            raise RedisUnavailable("too many calls wait for Redis already")
        left = self.timeout_seconds - (steady_ms() - call.made) / 1000
        giving_up = asyncio.get_running_loop().call_later(left, _settle, call.answer, TimeoutError())
        self._waiting.append(call)
        if len(self._trips) < TRIPS_AT_ONCE:
            self._trips.add(asyncio.create_task(self._travel()))
        try:
            return await call.answer
        except RedisUnavailable as error:
            # an error that Redis itself replied with says that it did nothing
            error.may_be_done = call.has_left and not isinstance(error.__cause__, ResponseError)
            raise
        finally:
            giving_up.cancel()

    def _has_time(self, made: Milliseconds) -> bool:
        return steady_ms() - made < self._run_ms

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
            async with asyncio.timeout(self.timeout_seconds):
                await self._exchange(calls)
            self._answered_at = steady_ms()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            for call in calls:
                _settle(call.answer, error)

    def _words(self, call: Call) -> tuple[Any, ...]:
        """What is sent. The times are told by what is believed of Redis' clock now, not when the call was made."""
        if call.clock is None:
            return call.command
        made = call.clock.at(call.made)
        return (*call.command, made - EARLY_MS, made + self._run_ms)

    async def _exchange(self, calls: list[Call]) -> None:
        """Writes all the commands at once and reads their replies in order.

        A connection on which that did not go to its end is closed: the next reader must not get our answers.
        """
        pool = self.redis.connection_pool
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self._gate.check(connection)
            # packed by hiredis in C: redis-py's own packing is a third of an accept
            packed = b"".join(pack_command(self._words(call)) for call in calls)
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
    """Foreign errors become RedisUnavailable with the cause kept, but for a script that is not loaded, and bugs."""
    text = str(error)
    if isinstance(error, Unfit):
        return RedisUnfit(text)
    if isinstance(error, NoScriptError) or not isinstance(error, RedisError | OSError | TimeoutError):
        return error
    if type(error) is ResponseError and not any(word in text for word in CANNOT_WRITE):
        return error
    unavailable = RedisUnavailable(type(error).__name__)
    unavailable.__cause__ = error
    return unavailable
