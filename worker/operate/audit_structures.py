"""Rules of `darkroom audit` between records: places, budgets, request ids, jobs without a record. Read only."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from worker.job.cost import cost_of, day_of
from worker.job.ids import is_job_id
from worker.job.record import Job
from worker.store import keys
from worker.store.key_family import Family
from worker.store.lane import Lane

PAGE = 500
LONGEST_AFTER_THE_END_MS = 3_600_000
"""The longest time for which a place may outlive its job (also a deleted one), while the upstream may still work."""


@dataclass
class Sums:
    """Sums over all records, to be compared with the stored counters."""

    counts: Counter[str] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    ghosts: set[str] = field(default_factory=set)
    """Names of records without an order, from which no job can be read."""
    bytes: Counter[str] = field(default_factory=Counter)
    """Tenant → the bytes that its records say are counted for them."""
    broken: set[str] = field(default_factory=set)
    """Names of records that cannot be read."""
    _usage: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    _owners: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, job: Job, counted: int) -> None:
        """Adds one record, for which so many bytes are counted."""
        self.ids.add(job.id)
        self.bytes[job.order.tenant] += counted
        self.counts[job.status.value] += 1
        usage, cost = self._usage[job.order.tenant, day_of(job.order.created_at)], cost_of(job)
        usage[0] += cost.open
        usage[1] += cost.spent
        for attempt in job.attempts:
            if attempt.request_id is not None:
                self._owners[attempt.upstream, attempt.request_id].add(job.id)

    def shared_request_ids(self) -> Iterator[str]:
        """Jobs to which the upstream gave the same request id: one of them would get the other's images."""
        for (upstream, request_id), owners in self._owners.items():
            if len(owners) > 1:
                yield f"{request_id} at {upstream}: {', '.join(sorted(owners))}"

    async def wrong_budgets(self, lane: Lane) -> AsyncIterator[tuple[str, str, str, int]]:
        """Budgets with less booked than the records cost, as (what, usage key, field, missing images).

        More is no fault: the cost of a deleted job stays booked.
        """
        for (tenant, day), found in self._usage.items():
            key = keys.USAGE(tenant, day)
            noted = await lane.call("HMGET", key, "open", "spent")
            for name, booked, cost in zip(("open", "spent"), (int(each or 0) for each in noted), found, strict=True):
                if booked < cost:
                    yield f"{tenant} {day} {name}: {booked} booked, {cost} found", key, name, cost - booked

    async def wrong_bytes(self, lane: Lane) -> AsyncIterator[tuple[str, int, int]]:
        """Tenants with another number of bytes noted than their records say, as (tenant, noted, found)."""
        row = await lane.call("HGETALL", keys.BYTES())
        noted = {name.decode(): int(value) for name, value in row.items()}
        for tenant in sorted(noted.keys() | self.bytes.keys()):
            if noted.get(tenant, 0) != self.bytes[tenant]:
                yield tenant, noted.get(tenant, 0), self.bytes[tenant]

    async def strays(self, lane: Lane) -> AsyncIterator[tuple[str, str]]:
        """(job id, where) of job names that have no record, in indexes and in keys of their own."""
        async for where, name in _named(lane):
            if name not in self.ids and not await _is_there(lane, name):
                yield name, where


async def places(lane: Lane) -> dict[str, frozenset[str]]:
    """Job id → names of the upstream accounts at which it holds a place."""
    held: dict[str, set[str]] = defaultdict(set)
    for name in await lane.call("SMEMBERS", keys.UPSTREAMS()):
        for member in await lane.call("ZRANGE", keys.PLACES(name.decode()), 0, -1):
            if is_job_id(member.decode()):  # else the place of an earlier attempt, which is freed after a while
                held[member.decode()].add(name.decode())
    return {job_id: frozenset(names) for job_id, names in held.items()}


async def names_of(lane: Lane, family: Family) -> AsyncIterator[list[str]]:
    """The variable parts of a family's keys, in pages; a key that exists all the time is returned at least once."""
    cursor = b"0"
    while True:
        cursor, found = await lane.call("SCAN", cursor, "MATCH", family("*"), "COUNT", PAGE)
        yield [key.decode().removeprefix(family.prefix) for key in found]
        if cursor in (b"0", 0):
            return


async def _named(lane: Lane) -> AsyncIterator[tuple[str, str]]:
    tenants = [each.decode() for each in await lane.call("SMEMBERS", keys.TENANTS())]
    upstreams = [each.decode() for each in await lane.call("SMEMBERS", keys.UPSTREAMS())]
    sets = [family(tenant) for tenant in tenants for family in (keys.BACKLOG, keys.JOBS)]
    for key in [keys.DUE(), keys.FINISHED(), *sets]:
        async for member in _members(lane, key):
            yield key, member
    for key in map(keys.PLACES, upstreams):
        for member in await lane.call("ZRANGEBYSCORE", key, lane.now() + LONGEST_AFTER_THE_END_MS, "+inf"):
            yield key, member.decode().partition("-")[0]
    for family in (keys.INBOX, keys.DELIVERIES):
        async for page in names_of(lane, family):
            for name in filter(is_job_id, page):
                yield family("*"), name


async def _members(lane: Lane, key: str) -> AsyncIterator[str]:
    at = 0
    while members := await lane.call("ZRANGE", key, at, at + PAGE - 1):
        for member in members:
            yield member.decode()
        at += PAGE


async def _is_there(lane: Lane, job_id: str) -> bool:
    return bool(await lane.call("HEXISTS", keys.JOB(job_id), "order"))
