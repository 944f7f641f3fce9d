"""The limits of an accept, and the problem of a refusal: which limit it met, and when to try again."""

import math
from datetime import UTC, datetime, timedelta

from api.http.problems import Problem
from api.state import State
from worker.job.record import Milliseconds
from worker.store.admission import Accepted, Allowance, Refusal

RESERVED_SHARE = 0.2
"""If there are several tenants: a tenant that has less than this share of the queue waiting may exceed the limit of the
queue by the same share. So no tenant can fill the queue and keep the others out."""

NO_ROOM = "The job store has no room for more jobs now."
FULL = frozenset({"queue_full", "tenant_queue_full"})


def allowance_of(here: State) -> Allowance:
    """The limits by the settings; limits that an operator has set for the tenant win over them."""
    settings = here["settings"]
    most, rate = settings.max_waiting_jobs, settings.tenant_requests_per_second
    return Allowance(
        max_waiting=most,
        reserved=math.ceil(most * RESERVED_SHARE) if here["keys"].has_several_tenants else 0,
        rate=rate,
        burst=settings.tenant_burst or max(1, math.ceil(rate)),
        tenant_waiting=settings.tenant_max_waiting_jobs,
        images_day=settings.tenant_images_per_day,
        images_month=settings.tenant_images_per_month,
        memory_share=settings.redis_memory_share,
        tenant_bytes=settings.tenant_max_bytes,
        shares_memory=here["keys"].has_several_tenants,
    )


def refusal_of(accepted: Accepted, here: State) -> Problem | None:
    """The problem of an accept that was refused, or None."""
    if accepted.verdict == "mismatch":
        return Problem("idempotency_mismatch", "This Idempotency-Key was used with another body.")
    ran_against = accepted.refused_by
    if ran_against is None:
        return None
    code, seconds, detail = _told(accepted.verdict, ran_against, here["store"].now())
    return Problem(code, detail, headers=_retry_after(seconds), limit=ran_against.limit if code in FULL else None)


def budget_exceeded(refusal: Refusal, now: Milliseconds) -> Problem:
    """The problem for a purchase that does not fit into the tenant's budget."""
    code, seconds, detail = _told("budget", refusal, now)
    return Problem(code, detail, headers=_retry_after(seconds))


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(max(1, math.ceil(seconds)))}


def _told(verdict: str, refusal: Refusal, now: int) -> tuple[str, float, str]:
    """(code, seconds until a retry is worth it, sentence)."""
    seconds = refusal.number / 1000
    match verdict:
        case "tenant_full":
            detail = f"{refusal.used} jobs of yours are waiting; {refusal.limit} may."
            return "tenant_queue_full", seconds, detail
        case "rate":
            return "rate_limited", seconds, f"Your rate is {refusal.limit} requests a second."
        case "budget":
            period = "day" if refusal.number == 1 else "month"
            detail = f"{refusal.used} of your {refusal.limit} images of this {period} are bought or reserved."
            return "budget_exceeded", _until_next(period, now), detail
        case "tenant_memory":
            used, most = f"{refusal.used:,}", f"{refusal.limit:,}"
            detail = f"Your jobs use {used} of the {most} bytes that they may in the job store. Delete finished ones."
            return "tenant_memory_full", seconds, detail
        case "memory":
            return "insufficient_storage", seconds, NO_ROOM
        case "late":
            wait = math.ceil(refusal.limit / 1000)
            detail = f"It would take about {wait} s, which is {math.ceil(seconds)} s more than its deadline allows."
            return "deadline_unreachable", seconds, detail
    return "queue_full", seconds, "As many jobs are waiting as this installation takes."


def _until_next(period: str, now: int) -> float:
    at = datetime.fromtimestamp(now / 1000, UTC)
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today + timedelta(days=1) if period == "day" else (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (first - at).total_seconds()
