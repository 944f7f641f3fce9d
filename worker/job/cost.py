"""The cost of a job for its tenant's budget, in images: bought ones (spent), and reserved or unknown ones (open). Pure.

Reserved at accept, settled at the end, given back if it is proven that nothing was bought, kept open while nobody
knows. lua/advance.lua books the difference between two versions of a record in the transaction that writes the second
one.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.job.record import OPEN_UPSTREAM, Job, Milliseconds, Status

BOUGHT = frozenset({"succeeded", "failed", "duplicate"})
DEFAULT_SAMPLES = 1


class Cost(NamedTuple):
    """Numbers of images."""

    open: int
    """Reserved, being bought, or unknown."""
    spent: int
    """Bought."""


def images_of(request: dict[str, Any]) -> int:
    """How many images one submit of the request buys. Null counts as not given."""
    return int(request.get("samples") or DEFAULT_SAMPLES)


def cost_of(job: Job) -> Cost:
    """The cost of the record as it is now."""
    each = images_of(job.order.request)
    # what the upstream had taken when the job ended is paid for, with or without a result
    bought = BOUGHT | {"processing"} if job.is_terminal else BOUGHT
    spent = sum(attempt.status in bought for attempt in job.attempts)
    open_ = sum(attempt.status in OPEN_UPSTREAM - bought for attempt in job.attempts)
    to_come = job.status is Status.QUEUED  # the reservation of the accept
    return Cost((open_ + to_come) * each, spent * each)


def day_of(at: Milliseconds) -> str:
    """The budget day of an accept, in UTC: `2026-11-24`."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")
