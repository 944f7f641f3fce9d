"""Claims: who collects a job's images. One worker per job, and a limited number of jobs per tenant at the same time.

A claim is a lock with a lease in Redis. Its worker renews it while it works; it lapses after the worker died. Claims
avoid double work and share it out fairly. Correctness does not depend on them (worker/images/collect.py).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from worker.images.collect import LONGEST_AT_WORK_SECONDS
from worker.job.record import Job, Milliseconds
from worker.store.lane import Lane, RedisUnavailable
from worker.store.push import Push
from worker.store.script import script

IN_LINE_MS = 600_000
"""A job in line is woken when another gives its place back; after this time it is looked at anyway."""


class ClaimReply(NamedTuple):
    """`held`: another worker collects it; `put_off`: it waits in line; `gone`: the record has changed."""

    verdict: Literal["claimed", "held", "put_off", "gone"]


@script
def claim_collection(
    *, push: Push, job_id: str, version: int | None, token: str, most: int, in_line_ms: Milliseconds
) -> ClaimReply:
    """Claims a collection for one worker, if the record has that version (None: any).

    `most` is how many of its tenant may be collected at once; 0 waits for nobody. One in line is looked at after
    `in_line_ms`.
    """


@script
def keep_collecting(*, lease_ms: Milliseconds, job_id: str, token: str) -> None:
    """Renews a claim for a lease, if it is still held."""


@script
def end_collection(*, push: Push, job_id: str, tenant: str, token: str, most: int, too_slow: bool) -> None:
    """Ends a claim, and wakes jobs in line. `too_slow`: its tenant gets fewer places, at most `most` in any case."""


@dataclass
class Claim:
    """A claim that is held; who holds it says what it came to."""

    token: str
    too_slow: bool = False
    """Whether an image came so slowly that it was given up."""


class Collecting:
    """The claims of this process. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push, most_per_tenant: int) -> None:
        self._lane = lane
        self._push = push
        self._most = most_per_tenant

    @asynccontextmanager
    async def claimed(self, job: Job) -> AsyncIterator[Claim | None]:
        """The claim, if this worker may collect now. None: another does, it waits in line, or its record changed."""
        claim = Claim(secrets.token_hex(6))
        if not await self._claim(job.id, job.version, claim.token, self._most):
            yield None
            return
        async with self._renewed(job, claim):
            yield claim

    @asynccontextmanager
    async def noted(self, job: Job) -> AsyncIterator[None]:
        """Notes that this worker stores images that it holds already; waits neither for a place nor for Redis."""
        claim = Claim(secrets.token_hex(6))
        with suppress(RedisUnavailable):
            await self._claim(job.id, None, claim.token, 0)
        async with self._renewed(job, claim):
            yield

    async def _claim(self, job_id: str, version: int | None, token: str, most: int) -> bool:
        reply = await self._lane.run(
            claim_collection,
            push=self._push,
            job_id=job_id,
            version=version,
            token=token,
            most=most,
            in_line_ms=IN_LINE_MS,
        )
        return reply.verdict == "claimed"

    @asynccontextmanager
    async def _renewed(self, job: Job, claim: Claim) -> AsyncIterator[None]:
        saying = asyncio.create_task(self._keep_saying(job.id, claim.token))
        try:
            yield
        finally:
            saying.cancel()
            with suppress(RedisUnavailable):  # then its place is freed when the claim lapses
                await self._lane.run(
                    end_collection,
                    push=self._push,
                    job_id=job.id,
                    tenant=job.order.tenant,
                    token=claim.token,
                    most=self._most,
                    too_slow=claim.too_slow,
                )

    async def _keep_saying(self, job_id: str, token: str) -> None:
        """Renews the claim, but not for longer than a collection can take: then the worker counts as dead."""
        lease = self._push.lease_ms
        pause = lease / 3000
        for _ in range(int(LONGEST_AT_WORK_SECONDS / pause)):
            await asyncio.sleep(pause)
            with suppress(RedisUnavailable):  # the write of the result waits for Redis as well
                await self._lane.run(keep_collecting, lease_ms=lease, job_id=job_id, token=token)
