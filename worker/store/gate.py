"""The gate: checks the fitness of the server behind each new connection of a lane (worker/store/fitness.py)."""

from typing import Any

import structlog
from hiredis import pack_command
from redis.asyncio import Redis

from worker.store.clock import Milliseconds, steady_ms
from worker.store.connection import SentinelPool
from worker.store.fitness import Unfit, Verdict, examine

log = structlog.get_logger()

LOOK_AGAIN_MS = 15_000
"""The pause between two checks: a server may be reconfigured while it runs."""


class Gate:
    """The verdict on the server that was checked last. An unfit server is checked again every time."""

    def __init__(self, redis: Redis, replicas: int) -> None:
        self._replicas = replicas
        self._sentinels = isinstance(redis.connection_pool, SentinelPool)
        self._looked_at: Milliseconds = 0
        self.verdict = Verdict()
        redis.connection_pool.connection_kwargs["redis_connect_func"] = self._meet

    async def check(self, connection: Any) -> None:
        """Checks if the last check is long ago. Raises Unfit, and logs it once."""
        if steady_ms() - self._looked_at > LOOK_AGAIN_MS:
            await self._look(connection)

    async def _meet(self, connection: Any) -> None:
        await connection.on_connect()
        await self._look(connection)

    async def _look(self, connection: Any) -> None:
        verdict = await look_at(connection, sentinels=self._sentinels, replicas=self._replicas)
        if verdict != self.verdict:
            log.warning("redis.fitness", refusal=verdict.refusal, warnings=verdict.warnings)
        self.verdict, self._looked_at = verdict, 0 if verdict.refusal else steady_ms()
        if verdict.refusal:
            raise Unfit(verdict.refusal)


async def look_at(connection: Any, *, sentinels: bool, replicas: int) -> Verdict:
    """The verdict on the server behind a connection, which nobody else may use meanwhile."""

    async def ask(*words: str) -> Any:
        await connection.send_packed_command(pack_command(words))  # type: ignore[arg-type]
        return await connection.read_response()

    return await examine(ask, sentinels=sentinels, replicas=replicas)
