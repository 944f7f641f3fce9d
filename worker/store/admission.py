"""What an accept asks of the queue and what it is answered: shapes around lua/accept.lua. Pure."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from worker.job.codec import encode_doc, encode_order, encode_row
from worker.job.cost import images_of
from worker.job.record import Job, Order, Status
from worker.store.standing import Standing, parse_standings

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


@dataclass(frozen=True, slots=True)
class Refusal:
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


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an accept may use, 0 for no limit: of the whole queue, and by a tenant for whom nothing else is set."""

    max_waiting: int
    reserved: int = 0
    """Beyond `max_waiting`, for a tenant of which fewer than that wait."""
    rate: float = 0
    burst: int = 0
    tenant_waiting: int = 0
    images_day: int = 0
    images_month: int = 0


def accept_arguments(order: Order, *, refuse_late: bool) -> tuple[Any, ...]:
    """One job as lua/accept.lua reads it."""
    job = Job(order, updated_at=order.created_at)
    row = encode_row(order.created_at, Status.QUEUED, "accepted", None)
    rank = order.created_at - order.priority * HEAD_START_MS
    head = (order.id, encode_order(order), encode_doc(job), row)
    return (
        *head,
        order.created_at,
        order.deadline_at,
        rank,
        order.priority,
        images_of(order.request),
        _flag(refuse_late),
    )


def _flag(value: bool) -> str:
    return "1" if value else ""


def parse_accepted(reply: list[Any]) -> Accepted:
    """The reply of lua/accept.lua as an Accepted."""
    verdict = cast("Verdict", reply[1].decode())
    if verdict not in ("created", "same", "mismatch"):
        return Accepted(verdict, refused_by=Refusal(*map(int, reply[2:5])))
    ids = tuple(reply[2].decode().split(","))
    return Accepted(verdict, ids, parse_standings(reply[3], reply[4], len(ids)))
