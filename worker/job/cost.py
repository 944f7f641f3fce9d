"""What a job costs its tenant's budget: images that are bought, and images that are or may still be bought. Pure.

Reserved at accept, settled at the end, given back where it is proven that nothing was bought, kept open while nobody
knows. lua/advance.lua books the difference between two records in the transaction that writes the second one.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.job.record import OPEN_UPSTREAM, Job, Milliseconds, Status

BOUGHT = frozenset({"succeeded", "failed", "duplicate"})
DEFAULT_SAMPLES = 1


class Cost(NamedTuple):
    """Images."""

    open: int
    """Reserved, being bought, or nobody knows."""
    spent: int
    """Bought."""


def images_of(request: dict[str, Any]) -> int:
    """How many images one submit of the request buys. Null is as if it were left out."""
    return int(request.get("samples") or DEFAULT_SAMPLES)


def cost_of(job: Job) -> Cost:
    """What the record as it stands costs."""
    each = images_of(job.order.request)
    # what the upstream had taken when the job ended is paid for, whatever becomes of it
    bought = BOUGHT | {"processing"} if job.is_terminal else BOUGHT
    spent = sum(attempt.status in bought for attempt in job.attempts)
    open_ = sum(attempt.status in OPEN_UPSTREAM - bought for attempt in job.attempts)
    to_come = job.status is Status.QUEUED  # the reservation of the accept
    return Cost((open_ + to_come) * each, spent * each)


def day_of(at: Milliseconds) -> str:
    """The budget day of an accept, in UTC: `2026-11-24`."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")
