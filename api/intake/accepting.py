"""How a job is accepted, for every way of posting it: order, limits, Idempotency-Key, refusal, answer.

`/v1/jobs`, batches, retries, the compatible paths and OpenAI's path all accept here, so that the rules are the same for
all.
"""

from collections.abc import Collection, Sequence
from typing import Any, cast

from fastapi import Request, Response

from api.finding import current_job, shown
from api.http.json_answer import json_answer
from api.http.problems import Problem
from api.intake.idempotency import idempotency_of
from api.intake.refusals import NO_ROOM, allowance_of, refusal_of
from api.intake.slices import in_slices
from api.schemas.request import ParsedRequest
from api.state import State, state
from worker.crash_points import Point, reached
from worker.job.codec import encode_row
from worker.job.ids import new_job_id
from worker.job.record import Job, OnUnknown, Order, Status
from worker.network.addresses import AddressRefused, check_url
from worker.shown.job import job_view
from worker.store.admission import Accepted
from worker.store.lane import RedisUnavailable
from worker.store.memory import is_out_of_memory
from worker.store.standing import Standing

RETRY_WHEN_AWAY_SECONDS = 10
PUBLIC_ADDRESS = "a public http(s) address on port 80 or 443"
REFUSALS = ("queue_full", "tenant_queue_full", "tenant_memory_full", "rate_limited", "budget_exceeded",
            "deadline_unreachable", "insufficient_storage")  # fmt: skip
"""Codes with which any job may be refused, also one whose request was accepted before (a retry)."""


async def accept_one(
    request: Request, tenant: str, parsed: ParsedRequest, body: bytes, *, shape: str = "job"
) -> tuple[Order, Accepted]:
    """One parsed request: see accept_requests."""
    orders, accepted = await accept_requests(request, tenant, [parsed], body, shape=shape)
    return orders[0], accepted


async def accept_requests(
    request: Request, tenant: str, batch: Sequence[ParsedRequest], body: bytes, *, shape: str = "job"
) -> tuple[list[Order], Accepted]:
    """Accepts parsed requests, all or none. Raises Problem for every refusal.

    `body` is what the Idempotency-Key stands for. `shape` is the shape of deliveries. If the verdict is `same`, the
    jobs are those of `Accepted.ids`, not the given orders.
    """
    here = state(request)
    orders = await in_slices(lambda parsed: _order(tenant, parsed, here, shape=shape), batch)
    policy = here["settings"].deadline_policy
    pairs = zip(orders, batch, strict=True)
    refuse_late = {order.id for order, parsed in pairs if (parsed.deadline_policy or policy) == "refuse"}
    return orders, await accept_orders(request, orders, body, refuse_late)


async def accept_orders(request: Request, orders: list[Order], body: bytes, refuse_late: Collection[str]) -> Accepted:
    """Jobs of one tenant, all or none, under the request's `Idempotency-Key`. Raises Problem for every refusal.

    `refuse_late` has the ids of jobs to refuse if they are not expected to end before their deadlines.
    """
    here = state(request)
    idempotency = await idempotency_of(request, orders[0].tenant, body)
    accepted = await _accepted_or_known(here, orders, idempotency, refuse_late)
    reached(Point.ACCEPT_WRITTEN)
    if refusal := refusal_of(accepted, here):
        if accepted.verdict == "full":
            await _refuse_if_store_away(here)
        raise refusal
    return accepted


async def accepted_jobs(here: State, orders: Sequence[Order], accepted: Accepted) -> list[dict[str, Any]]:
    """The jobs as they were just written, or, for a repeated Idempotency-Key, the earlier ones as they are now.

    New jobs are not read again, because a worker may have changed them already. Raises Problem `not_found` if an
    earlier one was deleted.
    """
    if accepted.verdict == "same":
        return [shown(await current_job(here, each), here) for each in accepted.ids]
    made = list(zip(orders, accepted.standings, strict=True))
    return await in_slices(lambda pair: _just_written(*pair, here), made)


def answer_accepted(job: dict[str, Any]) -> Response:
    """202 with the job, and its address in `Location`."""
    return json_answer(job, 202, {"location": job["links"]["self"]})


def _just_written(order: Order, standing: Standing, here: State) -> dict[str, Any]:
    job = Job(order, updated_at=order.created_at)
    row = encode_row(order.created_at, Status.QUEUED, "accepted", None)
    return job_view(job, row, here["viewer"], order.created_at, standing)


def _order(tenant: str, parsed: ParsedRequest, here: State, *, shape: str) -> Order:
    if parsed.webhook:
        _check_webhook(parsed.webhook, here)
    now = here["store"].now()
    deadline = parsed.deadline_seconds or here["settings"].deadline_seconds
    return Order(
        id=new_job_id(now),
        tenant=tenant,
        created_at=now,
        deadline_at=now + deadline * 1000,
        request=parsed.request,
        priority=parsed.priority,
        on_unknown=parsed.on_unknown or cast("OnUnknown", here["settings"].on_unknown.get(tenant, "hold")),
        adjustments=tuple(parsed.adjustments),
        metadata=parsed.metadata,
        webhook=parsed.webhook,
        track_id=parsed.track_id,
        shape=shape,
    )


def _check_webhook(url: str, here: State) -> None:
    """Refuses a webhook address that the delivery would refuse. The name is looked up only at the delivery."""
    settings = here["settings"]
    try:
        check_url(url, allow_private=settings.allow_private_addresses, https_only=settings.webhooks_https_only)
    except AddressRefused:
        error = {
            "field": "webhook",
            "code": "not_allowed",
            "message": "webhook is not usable.",
            "allowed": PUBLIC_ADDRESS,
        }
        raise Problem("invalid_request", "Not usable: webhook.", errors=[error]) from None


async def _accepted_or_known(
    here: State, orders: list[Order], idempotency: tuple[str, str] | None, refuse_late: Collection[str]
) -> Accepted:
    """The store's verdict. While Redis is full, only jobs that were accepted before are still answered."""
    if not here["memory"].is_short:
        try:
            return await here["store"].accept(orders, allowance_of(here), idempotency, refuse_late=refuse_late)
        except RedisUnavailable as error:
            if not is_out_of_memory(error):
                raise
    known = await here["store"].accepted_before(idempotency) if idempotency else None
    if known is None:
        raise _no_storage(NO_ROOM)
    return known


async def _refuse_if_store_away(here: State) -> None:
    """Raises Problem `insufficient_storage` if the queue is full because images cannot be stored."""
    _, _, away = await here["store"].condition.results()
    if away:
        raise _no_storage("Images cannot be stored now, so nothing is bought.")


def _no_storage(detail: str) -> Problem:
    return Problem("insufficient_storage", detail, headers={"retry-after": str(RETRY_WHEN_AWAY_SECONDS)})
