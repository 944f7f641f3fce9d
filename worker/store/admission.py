"""What an accept asks of the queue and what it is answered: the calling contract of lua/accept.lua."""

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
"""What one step of priority is worth within a tenant: it ranks as if it had come that much earlier."""

Verdict = Literal["created", "same", "mismatch", "full", "tenant_full", "rate", "budget", "late"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accept: what happened, the jobs it is about and where they stand, or what refused them."""

    verdict: Verdict
    ids: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()
    refused_by: "Refusal | None" = None


class Refusal(NamedTuple):
    """What an accept ran against. `number` is ms until it is worth trying again; for `budget` 1 (day) or 2 (month)."""

    number: int
    limit: int
    used: int


class OverBudget(Exception):
    """A step would buy again what the tenant's images of the day or month have no room for. Nothing was written."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.used} of {refusal.limit} images are bought or reserved")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Budget:
    """Images that a tenant may buy, where an operator has set nothing else for it; 0 for no limit."""

    day: int = 0
    month: int = 0


class Allowance(NamedTuple):
    """What an accept may use, 0 for no limit: of the whole queue, and by a tenant for whom nothing else is set."""

    max_waiting: int
    reserved: int = 0
    """Beyond `max_waiting`, for a tenant of which fewer than that wait."""
    rate: float = 0
    """Requests a second."""
    burst: int = 0
    """Requests at once."""
    tenant_waiting: int = 0
    images_day: int = 0
    images_month: int = 0


class NewJob(NamedTuple):
    """One job of an accept."""

    id: str
    order: bytes
    doc: bytes
    timeline: bytes
    """Its first row."""
    created_at: AsText[Milliseconds]
    deadline: AsText[Milliseconds]
    rank: AsText[Milliseconds]
    priority: int
    images: AsText[int]
    refuse_late: bool
    """Refused where it is not expected to end before its deadline."""


class Place(NamedTuple):
    """Where one of the jobs stands; without `own_position` where it has its place upstream already."""

    own_position: int | None
    position: int
    wait_ms: Milliseconds | None


class AcceptReply(NamedTuple):
    """With `refused_by` of a refusal; else with ids, joined by commas, and `standing` and `places` where some wait."""

    verdict: Verdict
    ids: str = ""
    standing: Standing | None = None
    """What all of them share."""
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

    `idempotency_key` is empty, or the Redis key of its row. A fingerprint may have behind a colon the one that older
    rows have. `may_be_late` says that one of the jobs is to be refused rather than late.
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
    """The reply of lua/accept.lua with a standing for each job."""
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
