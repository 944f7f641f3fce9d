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
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from worker.store.clock import Milliseconds, SharedClock, steady_ms
from worker.store.connection import SentinelPool as SentinelPool
from worker.store.connection import connect as connect
from worker.store.fitness import Verdict
from worker.store.round_trip import Call, RoundTrips
from worker.store.script import Script, script
from worker.store.unavailable import RedisUnavailable as RedisUnavailable
from worker.store.unavailable import RedisUnfit as RedisUnfit

log = structlog.get_logger()
P = ParamSpec("P")
R = TypeVar("R")

MOST_CALLS_PER_TRIP = 256
TRIPS_AT_ONCE = 2
MOST_WAITING = 4096
"""Calls that have not left yet; more are refused at once."""
HEARD_MS = 20
"""Longer than a trip takes where Redis is well."""


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


class Lane:
    """Runs commands and scripts; see the module's words on batching.

    Raises RedisUnavailable where Redis is away, hangs, is read-only or out of memory. With `replicas`, a round trip
    counts only once so many replicas have everything that it wrote; else RedisUnavailable, which never says "not done".
    """

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int = 0) -> None:
        self.redis = redis
        self.timeout_seconds = timeout_seconds
        self._round_trips = RoundTrips(redis, timeout_seconds, replicas)
        self.clock = SharedClock()
        self._waiting: deque[Call] = deque()
        self._answered_at: Milliseconds = 0
        self._trips: set[asyncio.Task[None]] = set()

    @property
    def verdict(self) -> Verdict:
        """On the server that was looked at last."""
        return self._round_trips.gate.verdict

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
        named = {"believed": self.clock.now(), "doubt": self.clock.doubt(), "under_way": self._round_trips.run_ms}
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
        giving_up = asyncio.get_running_loop().call_later(left, call.settle, TimeoutError())
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
        return steady_ms() - made < self._round_trips.run_ms

    async def _travel(self) -> None:
        """Round trips until nobody waits. Ends in the turn in which it sees that: a later call starts another."""
        try:
            while self._waiting:
                calls = self._board()
                if calls and await self._round_trips.make(calls):
                    self._answered_at = steady_ms()
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


def _was_refused(reply: Any) -> bool:
    return len(reply) == 2 and reply[1] in (b"too_late", b"too_early")
