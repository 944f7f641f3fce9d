"""`darkroom audit`: checks invariants over every job in the store, and repairs what is safe to repair.

A live system changes while it is checked. So a finding counts only if two checks, a moment apart, both find it.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from config.broker import QUEUES
from worker.images.store import ImageStore, StoreError
from worker.job.codec import decode_timeline
from worker.job.cost import Cost
from worker.job.record import Job, Status
from worker.operate.audit_rules import Broken, Seen, broken
from worker.operate.audit_structures import Sums, names_of, places
from worker.store import keys, wake_up
from worker.store.jobs import JobStore
from worker.store.lane import Lane
from worker.store.loaded import BrokenRecord, read_job
from worker.store.script import script

SECOND_LOOK_SECONDS = 2.0
WHOLE = frozenset({b"order", b"doc", b"status", b"version", b"timeline"})
"""The fields that a readable record must have."""

Repair = Callable[[], Awaitable[object]]
Counted = Literal["backlog", "waiting", "bytes", "count"]


@script
def mend_counter(
    *, what: Literal["backlog", "waiting", "bytes", "count"], name: str = "", noted: int = 0, counted: int = 0
) -> None:
    """Sets one of the queue's counters right, in one step with what it counts: jobs go on moving meanwhile.

    `backlog`: the number of waiting jobs of the tenant `name`; `waiting`: of all; `bytes`: of what its jobs use, and
    `count`: of jobs in the status `name`, both by the difference of what was counted to what was noted, where that
    still stands.
    """


@script
def mend_budget(*, usage_key: str, field: str, missing: int) -> None:
    """Books images that are missing in a tenant's day."""


@dataclass(frozen=True)
class Finding:
    """One broken invariant. `repair` is set only if the repair cannot buy, lose or change anything."""

    rule: str
    subject: str
    repair: Repair | None = None


@dataclass(frozen=True)
class Audit:
    """Runs an audit over everything in this Redis."""

    lane: Lane
    store: JobStore
    images: ImageStore
    second_look_seconds: float = SECOND_LOOK_SECONDS

    async def findings(self) -> list[Finding]:
        """Everything that two checks in a row find broken."""
        first = {(each.rule, each.subject) for each in await self._look()}
        if not first:
            return []
        await asyncio.sleep(self.second_look_seconds)
        return [each for each in await self._look() if (each.rule, each.subject) in first]

    async def note(self, findings: int) -> None:
        """Stores the number of findings for /metrics."""
        await self.lane.write("HSET", keys.AUDIT(), "findings", findings, "at", self.store.now())

    async def _look(self) -> list[Finding]:
        sums, found = Sums(), []
        async for seen in self._records(sums):
            found += [self._finding(seen.job, each) for each in broken(seen, self.store.now())]
            if seen.job.status is Status.SUCCEEDED and not await self._readable(seen.job):
                found.append(Finding("succeeded without readable bytes of its hash", seen.job.id))
        found += [finding async for finding in self._messages()]
        found += [finding async for finding in self._backlogs()]
        if sums.broken:  # what they hold is counted nowhere here, so no sum can be compared
            return found + [Finding("a record that cannot be read", name) for name in sorted(sums.broken)]
        found += [finding async for finding in self._between(sums)]
        found += [finding async for finding in self._counters(sums.counts)]
        return found

    async def _records(self, sums: Sums) -> AsyncIterator[Seen]:
        held = await places(self.lane)
        async for names in names_of(self.lane, keys.JOB):
            for name, seen in await asyncio.gather(*(self._seen(each, held) for each in names)):
                if seen is None:
                    sums.ghosts.add(name)
                elif seen == "broken":
                    sums.broken.add(name)
                elif name not in sums.ids:  # a scan may return a key twice
                    sums.add(seen.job, seen.bytes)
                    yield seen

    async def _seen(self, name: str, held: dict[str, frozenset[str]]) -> tuple[str, Seen | Literal["broken"] | None]:
        """The name of a record and what is stored for it; None if the record is not complete."""
        reading = self.lane.call("HGETALL", keys.JOB(name)), self.lane.call("ZSCORE", keys.DUE(), name)
        row, due = await asyncio.gather(*reading)
        if not row.keys() >= WHOLE:
            return name, None
        try:
            job = read_job(row)
        except BrokenRecord:
            return name, "broken"
        waits = await self.lane.call("ZSCORE", keys.BACKLOG(job.order.tenant), name)
        booked = Cost(int(row.get(b"open", 0)), int(row.get(b"spent", 0)))
        at = None if due is None else int(float(due))
        holds = held.get(name, frozenset())
        timeline, counted = decode_timeline(row[b"timeline"]), int(row.get(b"bytes", 0))
        return name, Seen(job, timeline, booked, at, waits is not None, holds, counted)

    def _finding(self, job: Job, each: Broken) -> Finding:
        subject = f"{job.id} at {each.key}" if each.key else job.id
        return Finding(each.rule, subject, self._mending(job, each))

    def _mending(self, job: Job, each: Broken) -> Repair | None:
        match each.mend:
            case None:
                return None
            case "look":
                return lambda: self.store.again_at(job.id, 0)
            case "enqueue":
                return lambda: self.store.queue.put_back(job)
            case what:
                return lambda: self.store.queue.mend(what, job.id, each.key)

    async def _between(self, sums: Sums) -> AsyncIterator[Finding]:
        """Findings that concern more than one record."""
        for name in sorted(sums.ghosts):
            if await self.lane.call("EXISTS", keys.JOB(name)):  # else it was deleted during the audit
                yield Finding("keys of a job without a record", name, self._laying(name))
        async for name, where in sums.strays(self.lane):
            yield Finding("a name of a job that has no record", f"{name} in {where}", self._forgetting(name))
        for subject in sums.shared_request_ids():
            yield Finding("two jobs have one request id", subject)
        async for tenant, noted, found in sums.wrong_bytes(self.lane):
            mend = self._counting("bytes", name=tenant, noted=noted, counted=found)
            yield Finding("a tenant's bytes are wrong", f"{tenant}: {noted} noted, {found} found", mend)
        async for subject, key, field, missing in sums.wrong_budgets(self.lane):
            yield Finding("less is booked than was bought", subject, self._booking(key, field, missing))

    def _laying(self, job_id: str) -> Repair:
        return lambda: self.store.lay_ghost(job_id)

    def _forgetting(self, name: str) -> Repair:
        return lambda: self.store.queue.mend("forget", name)

    def _booking(self, key: str, field: str, missing: int) -> Repair:
        return lambda: self.lane.run(mend_budget, usage_key=key, field=field, missing=missing)

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
            key = keys.CELERY(queue)
            for message in await self.lane.call("LRANGE", key, 0, 9999):
                try:
                    an_id = wake_up.read(message).an_id
                except wake_up.Refused as refused:
                    yield Finding("a message that is none of ours", f"{queue}: {refused.flaw.value}")
                    continue
                holder = keys.DELIVERY(an_id) if queue == "tell" else keys.JOB(an_id)
                if not await self.lane.call("EXISTS", holder):
                    remove = self._removal(key, message)
                    yield Finding("a message without a job", an_id, remove)

    def _removal(self, key: str, message: bytes) -> Repair:
        return lambda: self.lane.write("LREM", key, 1, message)

    async def _backlogs(self) -> AsyncIterator[Finding]:
        """The counters for positions and fairness must agree with the jobs that wait."""
        total = 0
        for name in await self.lane.call("SMEMBERS", keys.TENANTS()):
            size = int(await self.lane.call("ZCARD", keys.BACKLOG(name.decode())))
            total += size
            if size != int(await self.lane.call("HGET", keys.BACKLOGS(), name) or 0):
                yield Finding("a backlog's size is wrong", name.decode(), self._counting("backlog", name=name.decode()))
        if total != int(await self.lane.call("GET", keys.WAITING()) or 0):
            yield Finding("the number of waiting jobs is wrong", "waiting", self._counting("waiting"))

    async def _counters(self, counts: Counter[str]) -> AsyncIterator[Finding]:
        for status in Status:
            noted = int(await self.lane.call("HGET", keys.COUNTS(), status.value) or 0)
            if noted != counts[status.value]:
                subject = f"{status.value}: {noted} noted, {counts[status.value]} found"
                mend = self._counting("count", name=status.value, noted=noted, counted=counts[status.value])
                yield Finding("a counter is wrong", subject, mend)

    def _counting(self, what: Counted, **named: Any) -> Repair:
        return lambda: self.lane.run(mend_counter, what=what, **named)
