"""Whether Redis has memory for more jobs; checked in the background, so that no request waits for it.

An accepted job needs memory until its end (records, deliveries). So new jobs are refused while some memory is left. The
limit is exact in lua/accept.lua, which looks itself; here it keeps refused requests away from Redis, and tells people.
"""

import asyncio

import structlog

from worker.store.lane import Lane, RedisUnavailable
from worker.store.memory import Memory, memory_of

log = structlog.get_logger()

LOOK_SECONDS = 2.0
LARGEST_JOB = 70_000
"""Bytes in Redis of a job with the largest body."""


class RedisMemory:
    """The result of the last check; it stays while Redis is away."""

    def __init__(self, lane: Lane, most: float) -> None:
        self._lane, self._most = lane, most
        self._memory = Memory(0, 0)
        self._looking: asyncio.Task[None] | None = None

    @property
    def share(self) -> float:
        """Used share of Redis' maxmemory, 0 to 1; 0 if none is set."""
        return self._memory.share

    @property
    def room(self) -> int:
        """Bytes that are left free for jobs."""
        return self._memory.room(self._most)

    @property
    def is_short(self) -> bool:
        """Whether new jobs are refused: there is no room for every single one, or less than a hundredth is left."""
        return self._memory.most > 0 and self.room < min(LARGEST_JOB, self._memory.most // 100)

    @property
    def words(self) -> str:
        """For the operator: ok, or why nothing is accepted."""
        if not self.is_short:
            return "ok"
        return f"short ({self.share:.0%} of Redis' maxmemory is used; from {self._most:.0%} on nothing is accepted)"

    def start(self) -> None:
        """Starts the checks, on the running event loop."""
        self._looking = asyncio.create_task(self._look_for_ever())

    async def look(self) -> None:
        """One check; logs a change once."""
        was_short = self.is_short
        try:
            self._memory = await memory_of(self._lane)
        except RedisUnavailable:
            return
        if self.is_short != was_short:
            log.warning("memory.short" if self.is_short else "memory.enough", share=round(self.share, 3))

    async def aclose(self) -> None:
        """Stops the checks."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)
