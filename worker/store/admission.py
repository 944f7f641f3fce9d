"""Accepting jobs: the calling contract of lua/accept.lua, its limits and its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from worker.job.codec import encode_doc, encode_order, encode_row
from worker.job.cost import images_of
from worker.job.record import Job, Milliseconds, Order, Status
from worker.store.push import Push
from worker.store.script import AsText, script
from worker.store.standing import PLACED, Standing

HEAD_START_MS = 30_000
"""The head start of one step of priority within a tenant: the job ranks as if it had come so much earlier."""

Verdict = Literal[
    "created", "same", "mismatch", "full", "tenant_full", "rate", "budget", "memory", "tenant_memory", "late"
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accept: the verdict, the jobs with their positions, or the limit that refused them."""

    verdict: Verdict
    ids: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()
    refused_by: "Refusal | None" = None


class Refusal(NamedTuple):
    """The limit that refused an accept. `number` is ms until a retry is worth it; for `budget` 1 (day) or 2 (month)."""

    number: int
    limit: int
    used: int


class OverBudget(Exception):
    """A step would buy again more than the tenant's budget of the day or month allows. Nothing was written."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.used} of {refusal.limit} images are bought or reserved")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Budget:
    """Images that a tenant may buy, unless an operator has set another limit for it; 0: no limit."""

    day: int = 0
    month: int = 0


class Allowance(NamedTuple):
    """The limits of an accept (0: no limit): for the whole queue, and for a tenant without limits of its own."""

    max_waiting: int
    reserved: int = 0
    """How far a tenant with fewer waiting jobs than this may exceed `max_waiting`."""
    rate: float = 0
    """Requests per second."""
    burst: int = 0
    """Requests at once."""
    tenant_waiting: int = 0
    images_day: int = 0
    images_month: int = 0
    memory_share: float = 0
    """Share of Redis' `maxmemory` above which nothing is accepted."""
    tenant_bytes: int = 0
    """Bytes that the tenant's jobs may use in Redis."""
    shares_memory: bool = False
    """A tenant without a limit of bytes may use three times what is left free below `memory_share`."""


class NewJob(NamedTuple):
    """One job of an accept."""

    id: str
    order: bytes
    doc: bytes
    timeline: bytes
    """The first row of its timeline."""
    created_at: AsText[Milliseconds]
    deadline: AsText[Milliseconds]
    rank: AsText[Milliseconds]
    priority: int
    images: AsText[int]
    refuse_late: bool
    """Whether it is refused if it is not expected to end before its deadline."""


class Place(NamedTuple):
    """The position of one job; `own_position` is None if it already has its place upstream."""

    own_position: int | None
    position: int
    wait_ms: Milliseconds | None


class AcceptReply(NamedTuple):
    """A refusal with `refused_by`; else ids, joined by commas, and `standing` and `places` if some jobs wait."""

    verdict: Verdict
    ids: str = ""
    standing: Standing | None = None
    """What is the same for all of the jobs."""
    places: tuple[Place, ...] = ()
    refused_by: Refusal | None = None


@script(new_load=True)
def accept(
    *,
    push: Push,
    idempotency_key: str,
    fingerprint: str,
    idempotency_ms: Milliseconds,
    tenant: str,
    day: str,
    allowance: Allowance,
    may_be_late: bool,
    jobs: Sequence[NewJob],
) -> AcceptReply:
    """Accepts jobs of one tenant, all or nothing.

    `idempotency_key` is empty, or the Redis key of its row. A fingerprint may be followed by a colon and the
    fingerprint of older versions. `may_be_late`: one of the jobs must be refused if it would be late.
    """


def new_job(order: Order, *, refuse_late: bool) -> NewJob:
    """The job of an order as lua/accept.lua writes it."""
    return NewJob(
        id=order.id,
        order=encode_order(order),
        doc=encode_doc(Job(order, updated_at=order.created_at)),
        timeline=encode_row(order.created_at, Status.QUEUED, "accepted", None),
        created_at=order.created_at,
        deadline=order.deadline_at,
        rank=order.created_at - order.priority * HEAD_START_MS,
        priority=order.priority,
        images=images_of(order.request),
        refuse_late=refuse_late,
    )


def accepted(reply: AcceptReply) -> Accepted:
    """The reply of lua/accept.lua, with the position of each job."""
    if reply.refused_by:
        return Accepted(reply.verdict, refused_by=reply.refused_by)
    ids, shared = tuple(reply.ids.split(",")), reply.standing
    if shared is None:
        return Accepted(reply.verdict, ids, (PLACED,) * len(ids))
    return Accepted(reply.verdict, ids, tuple(_standing(shared, place) for place in reply.places))


def _standing(shared: Standing, place: Place) -> Standing:
    if place.own_position is None:
        return PLACED
    return shared._replace(own_position=place.own_position, position=place.position, wait_ms=place.wait_ms)
