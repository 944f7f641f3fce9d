"""Does the whole store still keep its promises? Invariants checked over every job, and what is safe to repair.

A live system moves while it is looked at, so each finding is looked at twice, a moment apart, before it counts.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import orjson

from config.broker import KEY_PREFIX, QUEUES
from worker.images.store import ImageStore, StoreError
from worker.job import OPEN, Job, Status
from worker.lane import Lane
from worker.store import JobStore

SECOND_LOOK_SECONDS = 2.0
DEADLINE_MARGIN_MS = 30_000

Repair = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Finding:
    """One broken invariant; `repair` only where mending it cannot buy, lose or change anything."""

    rule: str
    subject: str
    repair: Repair | None = None


@dataclass(frozen=True)
class Audit:
    """What an audit needs."""

    lane: Lane
    store: JobStore
    images: ImageStore

    async def findings(self) -> list[Finding]:
        """What is broken at two looks in a row."""
        first = {(each.rule, each.subject) for each in await self._look()}
        if not first:
            return []
        await asyncio.sleep(SECOND_LOOK_SECONDS)
        return [each for each in await self._look() if (each.rule, each.subject) in first]

    async def note(self, findings: int) -> None:
        """Leaves the result for /metrics."""
        await self.lane.call("HSET", "audit", "findings", findings, "at", self.store.now())

    async def _look(self) -> list[Finding]:
        found: list[Finding] = []
        counts: Counter[str] = Counter()
        async for job_id, job in self._jobs():
            if job is None:  # forgotten while it was looked at, which the second look tells
                found.append(Finding("keys of a job without a record", job_id, self._laying(job_id)))
                continue
            counts[job.status.value] += 1
            found += [finding async for finding in self._job(job)]
        found += [finding async for finding in self._messages()]
        found += [finding async for finding in self._places()]
        found += [finding async for finding in self._backlogs()]
        found += [finding async for finding in self._counters(counts)]
        return found

    async def _jobs(self) -> AsyncIterator[tuple[str, Job | None]]:
        cursor = b"0"
        while True:
            cursor, keys = await self.lane.call("SCAN", cursor, "MATCH", "job:*", "COUNT", 500)
            ids = [key.decode().partition(":")[2] for key in keys]
            loads = await asyncio.gather(*(self.store.load(each) for each in ids))
            for job_id, loaded in zip(ids, loads, strict=True):
                yield job_id, loaded.job if loaded else None
            if cursor in (b"0", 0):
                return

    async def _job(self, job: Job) -> AsyncIterator[Finding]:
        tracks = [attempt.track_id for attempt in job.attempts]
        if len(set(tracks)) != len(tracks):
            yield Finding("an attempt was posted twice", job.id)
        if job.status in OPEN and self.store.now() > job.order.deadline_at + DEADLINE_MARGIN_MS:
            yield Finding("past its deadline without an end", job.id, lambda: self.store.again_at(job.id, 0))
        if job.status in OPEN and await self.lane.call("ZSCORE", "due", job.id) is None:
            yield Finding("open, but nobody will look at it", job.id, lambda: self.store.again_at(job.id, 0))
        if job.status is Status.QUEUED and job.place is None and not await self._waits(job):
            yield Finding("queued, but not in the queue", job.id, lambda: self._enqueue(job))
        if job.status is Status.SUCCEEDED and not await self._readable(job):
            yield Finding("succeeded without readable bytes of its hash", job.id)

    def _laying(self, job_id: str) -> Repair:
        return lambda: self.store.lay_ghost(job_id)

    async def _waits(self, job: Job) -> bool:
        return await self.lane.call("ZSCORE", f"backlog:{job.order.tenant}", job.id) is not None

    async def _enqueue(self, job: Job) -> None:
        await self.store.put_back(job)

    async def _readable(self, job: Job) -> bool:
        for image in job.images:
            try:
                stored = await self.images.open(image.key)
                digest = hashlib.sha256()
                async for chunk in stored.chunks:
                    digest.update(chunk)
            except StoreError:
                return False
            if digest.hexdigest() != image.sha256:
                return False
        return bool(job.images)

    async def _messages(self) -> AsyncIterator[Finding]:
        for queue in QUEUES:
            key = f"{KEY_PREFIX}{queue}"
            for message in await self.lane.call("LRANGE", key, 0, 9999):
                an_id = orjson.loads(orjson.loads(message)["body"])[0][0]
                holder = f"delivery:{an_id}" if queue == "tell" else f"job:{an_id}"
                if not await self.lane.call("EXISTS", holder):
                    remove = self._removal(key, message)
                    yield Finding("a message without a job", an_id, remove)

    def _removal(self, key: str, message: bytes) -> Repair:
        return lambda: self.lane.call("LREM", key, 1, message)

    async def _places(self) -> AsyncIterator[Finding]:
        for name in await self.lane.call("SMEMBERS", "upstreams"):
            key = f"places:{name.decode()}"
            for member in await self.lane.call("ZRANGE", key, 0, -1):
                loaded = await self.store.load(member.decode())
                # a cancelled job keeps its place for a while: the upstream still works on it
                if loaded is None or loaded.job.status in (Status.SUCCEEDED, Status.FAILED, Status.EXPIRED):
                    yield Finding("a finished job holds a place", member.decode(), self._release(key, member))

    async def _backlogs(self) -> AsyncIterator[Finding]:
        """What positions and fairness are computed from must be what waits."""
        total = 0
        for name in await self.lane.call("SMEMBERS", "tenants"):
            size = int(await self.lane.call("ZCARD", f"backlog:{name.decode()}"))
            total += size
            if size != int(await self.lane.call("HGET", "backlogs", name) or 0):
                yield Finding("a backlog's size is wrong", name.decode(), self._set_size(name, size))
        if total != int(await self.lane.call("GET", "waiting") or 0):
            yield Finding(
                "the number of waiting jobs is wrong", "waiting", lambda: self.lane.call("SET", "waiting", total)
            )

    def _set_size(self, tenant: bytes, size: int) -> Repair:
        change = ("HSET", "backlogs", tenant, size) if size else ("HDEL", "backlogs", tenant)
        return lambda: self.lane.call(*change)

    def _release(self, key: str, member: bytes) -> Repair:
        return lambda: self.lane.call("ZREM", key, member)

    async def _counters(self, counts: Counter[str]) -> AsyncIterator[Finding]:
        for status in Status:
            noted = int(await self.lane.call("HGET", "counts", status.value) or 0)
            if noted != counts[status.value]:
                subject = f"{status.value}: {noted} noted, {counts[status.value]} found"
                yield Finding("a counter is wrong", subject, self._set_count(status.value, counts[status.value]))

    def _set_count(self, status: str, count: int) -> Repair:
        return lambda: self.lane.call("HSET", "counts", status, count)
