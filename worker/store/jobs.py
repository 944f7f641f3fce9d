"""The job store in Redis: accept, compare-and-set, look-ups, removal.

Python decides, Lua guards: every method is one script or one command over the shared lane. The store has three parts in
modules of their own: the inbox, the queue, and the condition of the installation.
"""

from collections.abc import Collection, Sequence

from worker.job.codec import encode_doc
from worker.job.cost import day_of
from worker.job.filter import Filter
from worker.job.folder import folder_of
from worker.job.ids import created_at
from worker.job.record import Attempt, Job, Milliseconds, Order
from worker.job.step import Step
from worker.store import advancing, loaded
from worker.store.admission import Accepted, Allowance, Budget, OverBudget, accept, accepted, new_job
from worker.store.advancing import advance, request_key
from worker.store.condition import Condition
from worker.store.doubt import settled
from worker.store.inbox import Inbox, heard_after_removal, look_again
from worker.store.keys import JOB, JOBS
from worker.store.lane import Lane
from worker.store.listing import matching
from worker.store.loaded import Loaded
from worker.store.parking import Parking
from worker.store.push import Push
from worker.store.queue import Queue
from worker.store.script import script
from worker.store.wake_up import Flaw

NO_BUDGET = Budget()
IDEMPOTENCY_MS = 25 * 3_600_000
SET_ASIDE_MS: Milliseconds = 3_600_000
"""The pause before a job is tried again whose record cannot be read."""
TOMBSTONE_MS = 900_000
"""Three times the longest time for which a worker can collect a job without asking Redis (images/collect.py)."""


@script
def hand_over(*, push: Push, job_id: str) -> None:
    """Sends the message that has a job's images collected."""


@script
def rest(*, job_id: str, version: int) -> None:
    """Removes an ended job from the due times, unless something has come in meanwhile."""


@script
def lay_ghost(*, job_id: str) -> None:
    """Removes keys of a job that has no record (a ghost)."""


@script
def forget(
    *,
    job_id: str,
    tenant: str,
    folder: str,
    tombstone_ms: Milliseconds,
    heard_ms: Milliseconds,
    request_keys: Sequence[str],
) -> None:
    """Removes a finished job except its folder, for which it leaves a tombstone. `request_keys`: its index rows.

    `heard_ms`: how long a callback for it could still be taken for one of an unknown job.
    """


class JobStore:
    """Job records in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(
        self, lane: Lane, template: bytes, prefix: str, lease: Milliseconds, budget: Budget = NO_BUDGET
    ) -> None:
        self._lane, self._budget = lane, budget
        self.push = Push(template, prefix, lease)
        self.inbox = Inbox(lane, self.push)
        self.queue = Queue(lane, self.push)
        self.condition = Condition(lane, self.push)
        self.parking = Parking(lane)

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

        `idempotency` is (row of the key, fingerprint of the body); a colon and the fingerprint of older versions may
        follow. `refuse_late` has the ids of jobs to refuse if they are not expected to end before their deadlines. Safe
        to repeat with the same orders. Raises RedisUnavailable if nothing was accepted, Doubtful if that is not known.
        """
        key, fingerprint = idempotency or ("", "")
        first = orders[0]
        jobs = [new_job(order, refuse_late=order.id in refuse_late) for order in orders]
        reply = await settled(
            self._lane,
            JOB(first.id),
            lambda: self._lane.run(
                accept,
                push=self.push,
                idempotency_key=key,
                fingerprint=fingerprint,
                idempotency_ms=IDEMPOTENCY_MS,
                tenant=first.tenant,
                day=day_of(first.created_at),
                allowance=allowance,
                may_be_late=bool(refuse_late),
                jobs=jobs,
            ),
        )
        return accepted(reply)

    async def made_for(self, idempotency: tuple[str, str]) -> str | None:
        """The first job that was accepted under this key and fingerprint, or None."""
        known = await self.accepted_before(idempotency)
        return known.ids[0] if known and known.verdict == "same" else None

    async def accepted_before(self, idempotency: tuple[str, str]) -> Accepted | None:
        """The answer for an accept whose key is known (`same` or `mismatch`), or None. Only reads."""
        row = await self._lane.call("GET", idempotency[0])
        if row is None:
            return None
        fingerprint, _, ids = row.decode().partition(" ")
        return Accepted("same" if fingerprint in idempotency[1].split(":") else "mismatch", tuple(ids.split(",")))

    async def load(self, job_id: str) -> Loaded | None:
        """The record, or None if there is none."""
        return loaded.loaded(await self._lane.run(loaded.load, job_id=job_id))

    async def view(self, job_id: str, tenant: str = "") -> Loaded | None:
        """The record for showing it, with its position if it waits; None if it is not that tenant's."""
        return loaded.viewed(await self._lane.run(loaded.view, job_id=job_id, tenant=tenant))

    async def advance(self, before: Loaded, step: Step, *, inbox_read: int | None = None) -> bool:
        """Writes one step. Returns False if another writer was quicker; then nothing has changed.

        Raises OverBudget if it buys again and the tenant's budget has no room.
        """
        was, job = before.job, step.job
        reply = await self._lane.run(
            advance,
            push=self.push,
            job_id=job.id,
            version=was.version,
            status=job.status.value,
            doc=encode_doc(job),
            timeline_row=advancing.timeline_row(step),
            due_in=step.due_in,
            collects=step.collects,
            frees_place=step.frees_place,
            delivery_id=advancing.delivery_id(was, job),
            inbox_read=before.inbox_read if inbox_read is None else inbox_read,
            cause=step.cause,
            booking=advancing.booking(job, step, self._budget),
            news=advancing.news_of(job, step.key_news),
            learned=advancing.learned_id(was, job),
            given_back=tuple(advancing.given_back(was, job)),
        )
        if reply.refused_by:
            raise OverBudget(reply.refused_by)
        return reply.done

    async def owns_request(self, attempt: Attempt, request_id: str) -> bool:
        """Whether the upstream gave that id to this attempt and, as far as is known, to no other."""
        owner = await self._lane.call("GET", request_key(attempt, request_id))
        return owner is None or owner.decode() == attempt.track_id

    async def hand_over(self, job_id: str) -> None:
        """Has a job's images collected by the `collect` process."""
        await self._lane.run(hand_over, push=self.push, job_id=job_id)

    async def rest(self, job: Job) -> None:
        """Removes an ended job from the due times, unless something has come in meanwhile."""
        await self._lane.run(rest, job_id=job.id, version=job.version)

    async def again_at(self, job_id: str, wait: Milliseconds) -> None:
        """Moves the due time of a job whose record did not change."""
        await self._lane.run(look_again, job_id=job_id, wait=wait, read_all_again=False)

    async def set_aside(self, an_id: str, queue: str, why: Flaw) -> None:
        """Parks the message of a job that cannot be worked on, and looks at that job again much later."""
        await self.parking.park(queue, why, an_id.encode())
        await self.again_at(an_id, SET_ASIDE_MS)

    async def page(
        self, tenant: str, after: Milliseconds, before: Milliseconds, cursor: str | None, most: int
    ) -> list[str]:
        """Ids of a tenant's jobs, newest first, created in [after, before) and older than the job `cursor`."""
        key, start = JOBS(tenant), 0
        if cursor:
            rank = await self._lane.call("ZREVRANK", key, cursor)
            if rank is None:  # deleted meanwhile: continue from the time in its id
                before = min(before, created_at(cursor) + 1)
            else:
                newer = await self._lane.call("ZCOUNT", key, before, "+inf")
                start = max(0, rank + 1 - newer)
        while True:  # jobs of a batch share a millisecond: skip those that were shown already
            arguments = (key, f"({before}", after, "LIMIT", start, most)
            ids = [each.decode() for each in await self._lane.call("ZREVRANGEBYSCORE", *arguments)]
            older = [each for each in ids if not cursor or each < cursor]
            if older or len(ids) < most:
                return older
            start += most

    async def matching(self, wanted: Filter, job_ids: Sequence[str]) -> Sequence[str]:
        """Those of the jobs that match now, in their order."""
        return await matching(self._lane, wanted, job_ids)

    async def lay_ghost(self, job_id: str) -> None:
        """Removes keys of a job that has no record; an older version could write them after the job was removed."""
        await self._lane.run(lay_ghost, job_id=job_id)

    async def forget(self, job: Job) -> None:
        """Removes a finished job completely except its folder, for which it leaves a tombstone."""
        rows = [request_key(each, each.request_id) for each in job.attempts if each.server and each.request_id]
        await self._lane.run(
            forget,
            job_id=job.id,
            tenant=job.order.tenant,
            folder=folder_of(job),
            tombstone_ms=TOMBSTONE_MS,
            heard_ms=heard_after_removal(job, self.now()),
            request_keys=rows,
        )
