"""The lane: one connection to Redis for everything in an event loop, with automatic pipelining (group commit).

Calls made during a round trip leave together in the next one. So a burst of accepts costs one write, one fsync and one
answer, without a timer. A call that may have been done is not repeated here. After a lost answer the caller decides,
and the scripts are written so that asking again is safe.

A round trip that is given up is not undone: Redis may execute it later. So every script carries the time until which it
may run (lua/includes/clock.lua). After that time it is never done.
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
from worker.store.round_trip import Command, RoundTrips
from worker.store.script import Script, script
from worker.store.unavailable import RedisUnavailable as RedisUnavailable
from worker.store.unavailable import RedisUnfit as RedisUnfit

log = structlog.get_logger()
P = ParamSpec("P")
R = TypeVar("R")

MOST_CALLS_PER_TRIP = 256
TRIPS_AT_ONCE = 2
MOST_WAITING = 4096
"""Most calls that wait for a round trip; further ones are refused at once."""
HEARD_MS = 20
"""Longer than a round trip to a healthy Redis takes."""


class Written(NamedTuple):
    """The reply to a command that writes."""

    answer: Any


class Stepped(NamedTuple):
    """The time, and by how much Redis' clock was set (ms), if it was."""

    now: Milliseconds
    step: Milliseconds


@script
def write(*, command: Sequence[Any]) -> Written:
    """One command that writes."""


@script
def step_clock(*, believed: Milliseconds, doubt: Milliseconds, under_way: Milliseconds) -> Stepped:
    """If Redis' clock was set, lets `now` continue from `believed`, which may be wrong by `doubt` (ms)."""


class Lane:
    """Runs commands and scripts; the module describes the batching.

    Raises RedisUnavailable if Redis is away, hangs, is read-only or out of memory. With `replicas`, a round trip counts
    only after so many replicas have all its writes; else it raises RedisUnavailable, although they may be done.
    """

    def __init__(self, redis: Redis, timeout_seconds: float, replicas: int = 0) -> None:
        self.redis = redis
        self.timeout_seconds = timeout_seconds
        self._round_trips = RoundTrips(redis, timeout_seconds, replicas)
        self.clock = SharedClock()
        self._waiting: deque[Command] = deque()
        self._answered_at: Milliseconds = 0
        self._trips: set[asyncio.Task[None]] = set()

    @property
    def verdict(self) -> Verdict:
        """The fitness of the server that was checked last."""
        return self._round_trips.gate.verdict

    @property
    def is_heard(self) -> bool:
        """Whether Redis is answering now: a round trip is in flight, and the one before ended a moment ago."""
        return bool(self._trips) and steady_ms() - self._answered_at <= HEARD_MS

    def now(self) -> Milliseconds:
        """Milliseconds since 1970 by Redis' clock, as of its last answer."""
        return self.clock.now()

    async def run(self, script: Script[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Runs one script with its arguments, loaded first if this Redis does not know it. Returns its reply, by name.

        If Redis' clock says too late although ours says in time, our estimate was wrong. Nothing was done, and the
        script is sent once more.
        """
        made, words = steady_ms(), script.words(*arguments, **named)
        reply = await self._run_once(script, words, made, self.clock)
        if _was_refused(reply) and self._has_time(made):
            await self._correct(reply[0])
            reply = await self._run_once(script, words, made, self.clock)
        self.clock.learn(reply[0])
        if _was_refused(reply):
            raise RedisUnavailable("it came to Redis too late, and was not done")
        return script.read(reply)

    async def write(self, *command: Any) -> Any:
        """One command that writes, with the same time limit as a script."""
        return (await self.run(write, command=command)).answer

    async def call(self, *command: Any) -> Any:
        """One command that only reads, in the next round trip that leaves."""
        return await self._ask(Command(command, steady_ms()))

    async def aclose(self) -> None:
        """Waits for round trips in flight, then closes the connections."""
        while self._trips:
            await asyncio.gather(*self._trips)
        await self.redis.aclose(close_connection_pool=True)

    async def _run_once(
        self, script: Script[..., Any], words: tuple[Any, ...], made: Milliseconds, clock: SharedClock
    ) -> Any:
        try:
            return await self._ask(Command(("EVALSHA", script.sha, 0, *words), made, clock))
        except NoScriptError:
            return await self._ask(Command(("EVAL", script.source, 0, *words), made, clock))

    async def _correct(self, redis_now: Milliseconds) -> None:
        """Redis' clock differs from our estimate. If it was set, `now` must continue for all as if it had not been set.

        Until this is settled no script of this process runs: with the old estimate they are refused. The ticks of other
        machines show whether our own machine stood still instead.
        """
        if not self.clock.contradicts(redis_now):
            return self.clock.set(redis_now)
        named = {"believed": self.clock.now(), "doubt": self.clock.doubt(), "under_way": self._round_trips.run_ms}
        reply = await self._run_once(step_clock, step_clock.words(**named), steady_ms(), SharedClock(redis_now))
        if _was_refused(reply) and self.clock.contradicts(reply[0]):
            raise RedisUnavailable("Redis' clock was set, and Redis is slow")
        if _was_refused(reply):  # another process has settled it meanwhile
            return self.clock.learn(reply[0])
        now, step = step_clock.read(reply)
        if step:
            log.warning("clock.stepped", seconds=step / 1000, help="let Redis' machine slew its clock, not set it")
        return self.clock.set(now)

    async def _ask(self, call: Command) -> Any:
        """The reply. Raises RedisUnavailable when the time-out since `made` is over, sent or not."""
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
            # an error reply of Redis itself means that it did nothing
            error.may_be_done = call.has_left and not isinstance(error.__cause__, ResponseError)
            raise
        finally:
            giving_up.cancel()

    def _has_time(self, made: Milliseconds) -> bool:
        return steady_ms() - made < self._round_trips.run_ms

    async def _travel(self) -> None:
        """Makes round trips until no call waits; a later call starts it again."""
        try:
            while self._waiting:
                calls = self._board()
                if calls and await self._round_trips.make(calls):
                    self._answered_at = steady_ms()
        finally:
            self._trips.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _board(self) -> list[Command]:
        """The calls of the next round trip, without those that have timed out or were cancelled."""
        calls: list[Command] = []
        while self._waiting and len(calls) < MOST_CALLS_PER_TRIP:
            call = self._waiting.popleft()
            if not call.answer.done():
                calls.append(call)
        return calls


def _was_refused(reply: Any) -> bool:
    return len(reply) == 2 and reply[1] in (b"too_late", b"too_early")
