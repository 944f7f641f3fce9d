"""What a job costs its tenant's budget: images that are bought, and images that are or may still be bought. Pure.

Reserved at accept, settled at the end, given back where it is proven that nothing was bought, kept open while nobody
knows. lua/advance.lua books the difference between two records in the transaction that writes the second one.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.job.record import Attempt, Job, Milliseconds, Status

BOUGHT = frozenset({"succeeded", "failed", "duplicate"})
DEFAULT_SAMPLES = 1


class Cost(NamedTuple):
    """Images."""

    open: int
    """Reserved, being bought, or nobody knows."""
    spent: int
    """Bought."""


def images_of(request: dict[str, Any]) -> int:
    """How many images one submit of the request buys."""
    return int(request.get("samples") or DEFAULT_SAMPLES)


def cost_of(job: Job) -> Cost:
    """What the record as it stands costs."""
    each = images_of(job.order.request)
    spent = sum(_is_bought(attempt, job) for attempt in job.attempts)
    open_ = sum(_is_open(attempt, job) for attempt in job.attempts)
    return Cost((open_ + _is_to_come(job)) * each, spent * each)


def day_of(at: Milliseconds) -> str:
    """The budget day of an accept, in UTC: `2026-11-24`."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")


def _is_bought(attempt: Attempt, job: Job) -> bool:
    # what the upstream had taken when the job ended is paid for, whatever becomes of it
    return attempt.status in BOUGHT or (attempt.status == "processing" and job.is_terminal)


def _is_open(attempt: Attempt, job: Job) -> bool:
    return attempt.status in ("submitting", "unknown") or (attempt.status == "processing" and not job.is_terminal)


def _is_to_come(job: Job) -> bool:
    """Whether a submit is still to be made: the reservation of the accept."""
    return job.status is Status.QUEUED
