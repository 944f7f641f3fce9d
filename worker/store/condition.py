"""The condition of the installation, shared by all processes: workers alive, results, image store, counts."""

from collections.abc import Sequence
from dataclasses import replace
from secrets import token_hex
from typing import NamedTuple

from redis.asyncio import Redis

from config.broker import QUEUES
from worker.job.record import Milliseconds
from worker.store.census import Census, census, counted
from worker.store.keys import READY, STORE_AWAY, TAKERS, WORKERS
from worker.store.lane import Lane
from worker.store.push import Push
from worker.store.script import script

HEALTH_MINUTES = 5
ALIVE_MS: Milliseconds = 10_000
"""A worker without a heartbeat for so long counts as gone."""
READY_SECONDS = 60


class Results(NamedTuple):
    """How results came in the last minutes, and why the image store cannot be written (empty: it can)."""

    callbacks: int
    winning_polls: int
    images_away: str = ""


@script
def health(*, minutes: int) -> Results:
    """How results came in so many minutes."""


class Condition:
    """Reads and writes the condition. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push) -> None:
        self._lane, self._push = lane, push

    async def note_alive(self, worker: str, queue: str) -> None:
        """The heartbeat of one worker process, which takes messages of that queue; removes silent workers."""
        await self._lane.write("ZADD", WORKERS(), self._lane.now(), worker)
        await self._lane.write("HSET", TAKERS(), queue, self._lane.now())
        await self._forget_silent()

    async def note_standing_still(self, worker: str) -> None:
        """The worker process takes no messages, or none yet: it does not count as alive."""
        if await self._lane.call("ZSCORE", WORKERS(), worker) is not None:
            await self._lane.write("ZREM", WORKERS(), worker)

    async def workers_alive(self) -> int:
        """How many worker processes are alive; removes those without a heartbeat."""
        await self._forget_silent()
        return int(await self._lane.call("ZCARD", WORKERS()))

    async def queues_left_alone(self) -> list[str]:
        """Queues that no worker process has taken anything from for long, whether or not messages wait there."""
        rows = await self._lane.call("HMGET", TAKERS(), *QUEUES)
        taken = dict(zip(QUEUES, rows, strict=True))
        return [queue for queue, at in taken.items() if at is None or int(at) < self._lane.now() - ALIVE_MS]

    async def prove_writable(self) -> None:
        """Writes something, for /readyz: a Redis that answers may still take no writes."""
        await self._lane.write("SET", READY(), token_hex(4), "EX", READY_SECONDS)

    async def results(self) -> Results:
        """How results came recently, and whether images can be stored."""
        return await self._lane.run(health, minutes=HEALTH_MINUTES)

    async def note_images_away(self, reason: str | None, seconds: int) -> None:
        """Holds back all jobs for so many seconds, because the image store cannot be written; None ends that."""
        if reason is None:
            await self._lane.write("DEL", STORE_AWAY())
        else:
            await self._lane.write("SET", STORE_AWAY(), reason, "EX", seconds)

    async def census(self) -> Census:
        """Counts over the whole store, for metrics and the operator."""
        found = counted(await self._lane.run(census, prefix=self._push.prefix))
        of_late = await self.results()
        return replace(
            found,
            callbacks=of_late.callbacks,
            winning_polls=of_late.winning_polls,
            images_away=bool(of_late.images_away),
        )

    async def _forget_silent(self) -> None:
        await self._lane.write("ZREMRANGEBYSCORE", WORKERS(), "-inf", self._lane.now() - ALIVE_MS)


async def alive_among(redis: Redis, workers: Sequence[str]) -> int:
    """How many of these worker processes (`<host>:<pid>`) have been heard of lately, by Redis' own time.

    For a health check, which has no lane. Raises what the client raises.
    """
    if not workers:
        return 0
    seconds, _ = await redis.time()
    heard = await redis.zmscore(WORKERS(), list(workers))
    return sum(at is not None and at > seconds * 1000 - ALIVE_MS for at in heard)
