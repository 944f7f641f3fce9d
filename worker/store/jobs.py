"""The job store on Redis: accept once, compare-and-set, the callback inbox, the due-time index, look-ups.

Python decides, Lua guards: every method is one script or one command over the shared lane.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from config.broker import OLD_KEY_PREFIX, QUEUES
from worker.job.codec import decode_job, decode_timeline, encode_doc, encode_row
from worker.job.cost import cost_of, day_of
from worker.job.folder import folder_of
from worker.job.ids import created_at
from worker.job.record import OPEN_UPSTREAM, TERMINAL, Attempt, Job, Milliseconds, Order
from worker.job.step import Step
from worker.job.timing import LATE_SECONDS, SECOND
from worker.store.admission import Accepted, Allowance, Budget, OverBudget, Refusal, accept_arguments, parse_accepted
from worker.store.census import Census, parse_census
from worker.store.doubt import settled
from worker.store.lane import Lane
from worker.store.script import positional
from worker.store.standing import Standing, parse_standing

ACCEPT = positional("accept", new_load=True)
ADVANCE = positional("advance")
CALLBACK = positional("callback")
CONFIGURE = positional("configure")
LOAD = positional("load")
VIEW = positional("view")
OVERDUE = positional("overdue")
TICK = positional("tick")

NO_BUDGET = Budget()
IDEMPOTENCY_MS = 25 * 3_600_000
MOST_INBOX_ROWS = 20
FIRST_LIMIT_TRIED = 5
"""The smallest plan's queue: where learning an upstream key's limit starts."""

HEALTH = positional("health")
ADOPT_MESSAGES = positional("adopt_messages")
PUT_BACK = positional("put_back")
MEND = positional("mend")
REST = positional("rest")
HAND_OVER = positional("hand_over")
MARK_READ = positional("mark_read")
LOOK_AGAIN = positional("look_again")
LAY_GHOST = positional("lay_ghost")
FORGET = positional("forget")
CENSUS = positional("census")

HEALTH_MINUTES = 5
TOMBSTONE_MS = 900_000
"""Longer than whoever collects a job can be at it without asking Redis again (images/collect.py), threefold."""
ALIVE_MS = 10_000
"""A worker not heard of for that long counts as gone."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A record with its timeline and the callbacks that nobody has decided on yet, at Redis' own time."""

    job: Job
    now: Milliseconds
    timeline: bytes
    inbox_read: int
    inbox: tuple[bytes, ...]
    standing: Standing | None = None
    quickest_ms: Milliseconds | None = None
    """From the intent to the end, as the quickest job of its tenant took of late."""

    @property
    def has_just_ended(self) -> bool:
        """Within the last second."""
        return self.job.finished_at is not None and self.now - self.job.finished_at < SECOND


@dataclass(frozen=True, slots=True)
class UpstreamLimit:
    """A key of the pool, by name, and how many jobs it may hold (0: learned)."""

    name: str
    limit: int


class JobStore:
    """See the module. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(
        self, lane: Lane, template: bytes, prefix: str, lease: Milliseconds, budget: Budget = NO_BUDGET
    ) -> None:
        self._lane, self._budget = lane, budget
        self._common = (template, prefix, lease)

    def now(self) -> Milliseconds:
        """Milliseconds since 1970 by Redis' clock, as of its last answer."""
        return self._lane.now()

    async def accept(
        self,
        orders: Sequence[Order],
        allowance: Allowance,
        idempotency: tuple[str, str] | None = None,
        *,
        refuse_late: Collection[str] = (),
    ) -> Accepted:
        """Writes a tenant's jobs, their idempotency row and their messages, all or nothing.

        `idempotency` is the key's row and the fingerprint of the body; behind a colon the one that older rows have.
        `refuse_late` has the ids of jobs to be refused where they are not expected to end before their deadline. Safe
        to repeat with the same orders. Raises RedisUnavailable where nothing was accepted, Doubtful where that is
        not known.
        """
        key, fingerprint = idempotency or ("", "")
        first, most = orders[0], allowance
        head = (
            key,
            fingerprint,
            IDEMPOTENCY_MS,
            first.tenant,
            day_of(first.created_at),
            most.max_waiting,
            most.reserved,
        )
        limits = (most.rate, most.burst, most.tenant_waiting, most.images_day, most.images_month)
        jobs = [part for order in orders for part in accept_arguments(order, refuse_late=order.id in refuse_late)]
        late = "1" if refuse_late else ""
        words = (*self._common, *head, *limits, late, *jobs)
        reply = await settled(self._lane, f"job:{first.id}", lambda: self._lane.run(ACCEPT, *words))
        return parse_accepted(reply)

    async def made_for(self, idempotency: tuple[str, str]) -> str | None:
        """The first job that was accepted under this key and fingerprint, or None."""
        known = await self.accepted_before(idempotency)
        return known.ids[0] if known and known.verdict == "same" else None

    async def accepted_before(self, idempotency: tuple[str, str]) -> Accepted | None:
        """What an accept with this key is answered by an earlier one (`same` or `mismatch`), or None; only reads."""
        row = await self._lane.call("GET", idempotency[0])
        if row is None:
            return None
        fingerprint, _, ids = row.decode().partition(" ")
        return Accepted("same" if fingerprint in idempotency[1].split(":") else "mismatch", tuple(ids.split(",")))

    async def load(self, job_id: str) -> Loaded | None:
        """The record, or None where there is none."""
        now, flat, inbox, quickest = await self._lane.run(LOAD, job_id)
        loaded = _loaded(now, flat, inbox)
        return loaded and replace(loaded, quickest_ms=int(quickest) if int(quickest) >= 0 else None)

    async def view(self, job_id: str, tenant: str = "") -> Loaded | None:
        """The record, and where it stands in the queue if it waits, for whoever shows it; only that tenant's."""
        now, flat, inbox, standing, done = await self._lane.run(VIEW, job_id, tenant)
        known = parse_standing(standing) if standing else Standing(done_ms=int(done) if int(done) >= 0 else None)
        return _loaded(now, flat, inbox, known)

    async def advance(self, before: Loaded, step: Step, *, inbox_read: int | None = None) -> bool:
        """Applies one step; False where another writer was quicker, and then nothing has changed.

        Raises OverBudget where it buys again what the tenant's budget has no room for.
        """
        job, news = step.job, step.key_news
        row = encode_row(job.updated_at, job.status, step.cause, job.attempt.number if job.attempt else None)
        reply = await self._lane.run(
            ADVANCE,
            *self._common,
            job.id,
            before.job.version,
            job.status.value,
            encode_doc(job),
            row,
            "" if step.due_in is None else step.due_in,
            "1" if step.collects else "",
            "1" if step.frees_place else "",
            _delivery_id(before.job, job),
            before.inbox_read if inbox_read is None else inbox_read,
            *((news.kind, news.upstream, news.pause, _jitter(job), news.reason) if news else ("", "", 0, 0, "")),
            step.cause,
            *cost_of(job),
            day_of(job.order.created_at),
            *(("1" if step.buys_again else ""), self._budget.day, self._budget.month),
            *_learned_id(before.job, job),
            _given_back(before.job, job),
        )
        if len(reply) > 2:
            raise OverBudget(Refusal(*map(int, reply[2:5])))
        return bool(reply[1])

    async def owns_request(self, attempt: Attempt, request_id: str) -> bool:
        """Whether the upstream gave that id to this attempt and, as far as is known, to no other."""
        owner = await self._lane.call("GET", _request_key(attempt, request_id))
        return owner is None or owner.decode() == attempt.track_id

    async def callbacks_of(self, job_id: str, attempt: int) -> list[bytes]:
        """The bodies of all kept callbacks of one attempt, oldest first, read or not."""
        rows = (row.split(b" ", 2) for row in await self._lane.call("LRANGE", f"inbox:{job_id}", 0, -1))
        return [body for _, number, body in rows if int(number) == attempt]

    async def hand_over(self, job_id: str) -> None:
        """Wakes the collection of a job's images, for whoever must not wait for them itself."""
        await self._lane.run(HAND_OVER, *self._common[:2], job_id)

    async def rest(self, job: Job) -> None:
        """Notes that nobody needs to look at an ended job, unless something has come in meanwhile."""
        await self._lane.run(REST, job.id, job.version)

    async def mark_read(self, before: Loaded) -> None:
        """Notes that the oldest unread callback was decided on and changed nothing, if the record is still the same."""
        await self._lane.run(MARK_READ, before.job.id, before.job.version, before.inbox_read)

    async def keep_callback(
        self, job_id: str, attempt: int, body: bytes, orphan: bytes
    ) -> Literal["kept", "duplicate", "full", "orphan"]:
        """Keeps a raw callback and wakes its job; bounded per job, duplicates are kept once."""
        arguments = (*self._common, job_id, attempt, body, MOST_INBOX_ROWS, orphan)
        reply = await self._lane.run(CALLBACK, *arguments)
        verdict: Literal["kept", "duplicate", "full", "orphan"] = reply[1].decode()
        return verdict

    async def tick(self, at_most: int = 500) -> tuple[int, int, Milliseconds | None]:
        """Wakes what is due. Returns jobs and deliveries moved, and how long until the next job is due."""
        _, jobs, deliveries, wait = await self._lane.run(TICK, *self._common, at_most)
        return int(jobs), int(deliveries), None if wait < 0 else int(wait)

    async def overdue(self, most: int) -> list[str]:
        """Ids of jobs that waited past their deadline, tenants in turn; nobody else gets them for a lease."""
        _, ids = await self._lane.run(OVERDUE, self._common[2], most)
        return [each.decode() for each in ids]

    async def configure(self, upstreams: Sequence[UpstreamLimit]) -> None:
        """Makes the pool known to the queue and hands out what waited for it."""
        rows = [part for each in upstreams for part in (each.name, each.limit, FIRST_LIMIT_TRIED)]
        await self._lane.run(CONFIGURE, *self._common, *rows)

    async def adopt_messages(self, at_most: int = 1000) -> int:
        """Takes over messages from where a version before this one keeps them; how many there were."""
        words = (OLD_KEY_PREFIX, self._common[1], at_most, *QUEUES)
        return int((await self._lane.run(ADOPT_MESSAGES, *words))[1])

    async def again_at(self, job_id: str, wait: Milliseconds) -> None:
        """Moves the due time of a job whose record did not change."""
        await self._lane.run(LOOK_AGAIN, job_id, wait, "")

    async def lay_ghost(self, job_id: str) -> None:
        """Removes keys of a job that has no record: an older version could write them after the job was gone."""
        await self._lane.run(LAY_GHOST, job_id)

    async def page(
        self, tenant: str, after: Milliseconds, before: Milliseconds, cursor: str | None, most: int
    ) -> list[str]:
        """Ids of a tenant's jobs, newest first, created in [after, before) and older than the job `cursor`."""
        key, start = f"jobs:{tenant}", 0
        if cursor:
            rank = await self._lane.call("ZREVRANK", key, cursor)
            if rank is None:  # deleted meanwhile: go on from when it was made, which its id tells
                before = min(before, created_at(cursor) + 1)
            else:
                newer = await self._lane.call("ZCOUNT", key, before, "+inf")
                start = max(0, rank + 1 - newer)
        while True:  # a batch's jobs share a millisecond: those of it that were shown already are passed over
            arguments = (key, f"({before}", after, "LIMIT", start, most)
            ids = [each.decode() for each in await self._lane.call("ZREVRANGEBYSCORE", *arguments)]
            older = [each for each in ids if not cursor or each < cursor]
            if older or len(ids) < most:
                return older
            start += most

    async def put_back(self, job: Job) -> None:
        """Puts a queued job that stands nowhere back into its queue."""
        await self._lane.run(PUT_BACK, *self._common, job.id)

    async def mend(self, what: str, job_id: str, upstream: str = "") -> None:
        """Mends what an audit found (lua/mend.lua says what), where it still is so."""
        await self._lane.run(MEND, *self._common, what, job_id, upstream)

    async def replay(self, job_id: str) -> None:
        """Has all kept callbacks of a job decided on again; deciding twice changes nothing."""
        await self._lane.run(LOOK_AGAIN, job_id, 0, "1")

    async def orphans(self) -> list[bytes]:
        """Callbacks whose job was not known when they came."""
        rows: list[bytes] = await self._lane.call("LRANGE", "orphans", 0, -1)
        return rows

    async def drop_orphan(self, row: bytes) -> None:
        """Removes one, once it has been matched."""
        await self._lane.write("LREM", "orphans", 1, row)

    async def forget(self, job: Job) -> None:
        """Removes every trace of a finished job but its folder, for which it leaves a tombstone."""
        ids = (_request_key(each, each.request_id) for each in job.attempts if each.server and each.request_id)
        await self._lane.run(FORGET, job.id, job.order.tenant, folder_of(job), TOMBSTONE_MS, *ids)

    async def note_alive(self, worker: str) -> None:
        """One worker process's word that it is there; forgets those that have not said so for long."""
        await self._lane.write("ZADD", "workers", self.now(), worker)
        await self._lane.write("ZREMRANGEBYSCORE", "workers", "-inf", self.now() - ALIVE_MS)

    async def workers_alive(self) -> int:
        """How many worker processes have been heard of lately; forgets those that have not."""
        await self._lane.write("ZREMRANGEBYSCORE", "workers", "-inf", self.now() - ALIVE_MS)
        return int(await self._lane.call("ZCARD", "workers"))

    async def health(self) -> tuple[int, int, str]:
        """Callbacks and winning polls of the last minutes, and why the image store is away, if it is."""
        _, callbacks, polls, away = await self._lane.run(HEALTH, HEALTH_MINUTES)
        return int(callbacks), int(polls), away.decode()

    async def note_images_away(self, reason: str | None, seconds: int) -> None:
        """Holds everything back for so long while the image store cannot be written; None lets it go."""
        if reason is None:
            await self._lane.write("DEL", "store:away")
        else:
            await self._lane.write("SET", "store:away", reason, "EX", seconds)

    async def census(self) -> Census:
        """Counts over the whole store, for metrics and the operator."""
        census = parse_census((await self._lane.run(CENSUS, self._common[1]))[1:])
        callbacks, polls, away = await self.health()
        return replace(census, callbacks=callbacks, winning_polls=polls, images_away=bool(away))


def timeline_of(loaded: Loaded) -> list[dict[str, Any]]:
    """The job's timeline as rows."""
    return decode_timeline(loaded.timeline)


def _loaded(now: int, flat: list[bytes], inbox: list[bytes], standing: Standing | None = None) -> Loaded | None:
    if not flat:
        return None
    row = dict(zip(flat[::2], flat[1::2], strict=True))
    if b"doc" not in row:  # a ghost: what an older version wrote for a job that was gone
        return None
    return Loaded(decode_job(row), now, row[b"timeline"], int(row.get(b"inbox_read", 0)), tuple(inbox), standing)


def _request_key(attempt: Attempt, request_id: str) -> str:
    return f"request:{attempt.server}:{request_id}"


def _learned_id(before: Job, after: Job) -> tuple[str, str, Milliseconds]:
    """The index row of a request id that this step brings, and how long it is kept: as long as it may be asked for."""
    for attempt in after.attempts:
        known = before.numbered(attempt.number)
        if attempt.server and attempt.request_id and (known is None or known.request_id is None):
            left = max(0, after.order.deadline_at - after.updated_at) + (LATE_SECONDS + 3600) * SECOND
            return _request_key(attempt, attempt.request_id), attempt.track_id, left
    return "", "", 0


def _delivery_id(before: Job, after: Job) -> str:
    """The id of what the caller is to be told, constant over all tries: one per end, so a late result tells again."""
    ended = after.status in TERMINAL and before.status is not after.status
    return f"msg_{after.id}_{after.version}" if ended and after.order.webhook else ""


def _given_back(before: Job, after: Job) -> str:
    """The places of attempts that others were to be sent beside, and that are over by this step: `<key> <track_id> …`.

    The newest attempt may have one as well: its job was queued again, and then it turned out to be taken after all.
    """
    ended = (each for each in after.attempts if each.status not in OPEN_UPSTREAM)
    over = (each for each in ended if (known := before.numbered(each.number)) and known.status in OPEN_UPSTREAM)
    return " ".join(f"{each.upstream} {each.track_id}" for each in over)


def _jitter(job: Job) -> float:
    """0 to 1, spread over jobs, the same for one version: nothing that a step needs is random."""
    return (hash((job.id, job.version)) % 1000) / 1000
