"""Who collects a job's images: one worker at a time, and of one tenant no more at once than it may.

A claim on Redis that its worker renews while it is at it, and that lapses when the worker has died. It spares work and
shares it out; what is stored is right without it as well (worker/images/collect.py).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from worker.images.collect import LONGEST_AT_WORK_SECONDS
from worker.job.record import Job, Milliseconds
from worker.store.lane import Lane, RedisUnavailable
from worker.store.script import positional

CLAIM = positional("claim_collection")
KEEP = positional("keep_collecting")
END = positional("end_collection")

IN_LINE_MS = 600_000
"""One in line is woken by whoever gives its place back; after this it looks again by itself."""


class Collecting:
    """The claims of this process. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, common: tuple[bytes, str, Milliseconds], most_per_tenant: int) -> None:
        self._lane = lane
        self._common = common
        self._most = most_per_tenant

    @asynccontextmanager
    async def claimed(self, job: Job) -> AsyncIterator[bool]:
        """Whether this worker may collect now: else another does, or the job stands in line, or it has moved."""
        token = secrets.token_hex(6)
        if not await self._claim(job.id, job.version, token, self._most):
            yield False
            return
        async with self._renewed(job, token):
            yield True

    @asynccontextmanager
    async def noted(self, job: Job) -> AsyncIterator[None]:
        """Says that this worker is storing images that it holds already: it waits for nobody, also not for Redis."""
        token = secrets.token_hex(6)
        with suppress(RedisUnavailable):
            await self._claim(job.id, "", token, 0)
        async with self._renewed(job, token):
            yield

    async def _claim(self, job_id: str, version: int | str, token: str, most: int) -> bool:
        arguments = (*self._common, job_id, version, token, most, IN_LINE_MS)
        verdict: bytes = (await self._lane.run(CLAIM, *arguments))[1]
        return verdict == b"claimed"

    @asynccontextmanager
    async def _renewed(self, job: Job, token: str) -> AsyncIterator[None]:
        saying = asyncio.create_task(self._keep_saying(job.id, token))
        try:
            yield
        finally:
            saying.cancel()
            with suppress(RedisUnavailable):  # then its place is given back by its time
                template, prefix, _ = self._common
                await self._lane.run(END, template, prefix, job.id, job.order.tenant, token, self._most)

    async def _keep_saying(self, job_id: str, token: str) -> None:
        """Who is at it for longer than a collection can take is believed dead after all."""
        lease = self._common[2]
        pause = lease / 3000
        for _ in range(int(LONGEST_AT_WORK_SECONDS / pause)):
            await asyncio.sleep(pause)
            with suppress(RedisUnavailable):  # what is recorded in the end waits for Redis as well
                await self._lane.run(KEEP, lease, job_id, token)
