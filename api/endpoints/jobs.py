"""The callers' door: accept jobs, show them, follow them.

The hot path of `POST /v1/jobs` parses the bytes once, asks Redis once and writes its answer's bytes itself.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.http.problems import Problem, problem_responses
from api.intake.idempotency import idempotency_of
from api.intake.refusals import allowance_of, refusal_of
from api.keys import authenticate
from api.schemas.job import JobBatch, JobView
from api.schemas.request import ParsedRequest, parse_in_thread, parse_request, request_body_schema
from api.state import State, state
from worker.crash_points import Point, reached
from worker.job.codec import decode_timeline, encode_row, numbered
from worker.job.ids import is_job_id, new_job_id
from worker.job.record import TERMINAL, Job, OnUnknown, Order, Status
from worker.job.times import rfc3339
from worker.network.addresses import AddressRefused, check_url
from worker.shown.job import job_view
from worker.store.admission import Accepted
from worker.store.api_keys import Scope
from worker.store.jobs import Loaded
from worker.store.lane import RedisUnavailable
from worker.store.memory import is_out_of_memory
from worker.store.standing import Standing

router = APIRouter(prefix="/v1", tags=["jobs"])

MOST_WAIT_SECONDS = 60.0
RETRY_WHEN_AWAY_SECONDS = 10
PUBLIC_ADDRESS = "a public http(s) address on port 80 or 443"
ACCEPT_PROBLEMS = ("invalid_json", "invalid_request", "unauthorized", "body_too_large", "unsupported_media_type",
                   "idempotency_mismatch", "queue_full", "tenant_queue_full", "rate_limited", "budget_exceeded",
                   "deadline_unreachable", "insufficient_storage", "unavailable")  # fmt: skip


@router.post(
    "/jobs",
    status_code=202,
    summary="Accept a job",
    response_model=JobView,
    responses=problem_responses(*ACCEPT_PROBLEMS, "not_found")
    | {200: {"model": JobView, "description": "Finished within `Prefer: wait`"}},
    openapi_extra={"requestBody": request_body_schema()},
)
async def create_job(request: Request) -> Response:
    """Accepts one request: once this answers 202, the job and its message are on disk.

    `Idempotency-Key` makes repeating safe; `Prefer: wait=N` (up to 60 s) answers 200 with the finished job.
    """
    tenant, here = await authenticate(request, "submit"), state(request)
    body = await request.body()
    parsed = parse_request(body)
    order = _order(tenant, parsed, here)
    accepted = await accept_orders(request, here, [order], body, [order.id] if _refuses_late(parsed, here) else [])
    if wait := _wait_seconds(request):
        return await _finished_in_time(here, accepted.ids[0], wait)
    if accepted.verdict == "same":
        return await current_job(here, accepted.ids[0])
    return _json(_fresh_view(order, accepted.standings[0], here), 202, here, order.id)


@router.post(
    "/jobs/batch",
    status_code=202,
    summary="Accept up to 1,000 jobs",
    response_model=JobBatch,
    responses=problem_responses(*ACCEPT_PROBLEMS, "not_found"),
    openapi_extra={"requestBody": request_body_schema(batch=True)},
)
async def create_batch(request: Request) -> Response:
    """Accepts an array of requests in one transaction: all of them or none."""
    tenant, here = await authenticate(request, "submit"), state(request)
    body = await request.body()
    batch = await parse_in_thread(body)
    orders = [_order(tenant, parsed, here) for parsed in batch]
    pairs = zip(orders, batch, strict=True)
    refuse_late = {order.id for order, parsed in pairs if _refuses_late(parsed, here)}
    accepted = await accept_orders(request, here, orders, body, refuse_late)
    if accepted.verdict == "same":
        jobs = await _current_jobs(here, accepted.ids)
    else:
        stood = zip(orders, accepted.standings, strict=True)
        jobs = [_fresh_view(order, standing, here) for order, standing in stood]
    return Response(orjson.dumps({"jobs": jobs}), 202, media_type="application/json")


@router.get(
    "/jobs/{job_id}",
    summary="Show a job",
    response_model=JobView,
    responses=problem_responses("unauthorized", "not_found", "unavailable"),
)
async def show_job(job_id: str, request: Request) -> Response:
    """The job as it stands: status, attempts, timeline, images, error, and one sentence saying why."""
    here, found = await find_job(job_id, request, "read")
    return _json(_view(found, here), 200)


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses=problem_responses("unauthorized", "not_found", "unavailable")
    | {200: {"content": {"text/event-stream": {}}}},
)
async def follow_job(job_id: str, request: Request) -> Response:
    """Server-sent events, one per transition, from the first one or after `Last-Event-ID`; ends with the job."""
    here, _ = await find_job(job_id, request, "read")
    seen = request.headers.get("last-event-id", "")
    after = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 9 else 0
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if "is_head" in request.scope:
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(_events(here, job_id, after), media_type="text/event-stream", headers=headers)


async def find_job(job_id: str, request: Request, scope: Scope) -> tuple[State, Loaded]:
    """The caller's job. Another tenant's is answered exactly like one that does not exist, at the same cost."""
    tenant, here = await authenticate(request, scope), state(request)
    found = await here["store"].view(job_id, tenant) if is_job_id(job_id) else None
    if found is None or found.job.order.tenant != tenant:
        raise Problem("not_found", "There is no such job.")
    return here, found


async def accept_one(
    request: Request, tenant: str, parsed: ParsedRequest, body: bytes, *, compatible: bool = False
) -> tuple[Order, Accepted]:
    """What every door does with one parsed request: the same rules, limits and Idempotency-Key."""
    here = state(request)
    order = replace(_order(tenant, parsed, here), compatible=compatible)
    return order, await accept_orders(request, here, [order], body, [order.id] if _refuses_late(parsed, here) else [])


async def wait_for_end(here: State, job_id: str, seconds: float) -> Loaded | None:
    """The job once it has ended, or as it stands after that time."""
    until = here["store"].now() + seconds * 1000
    async with here["watch"].follow(job_id) as follower:
        while (found := await here["store"].load(job_id)) and not found.job.is_terminal and found.now < until:
            if follower.ending:  # the process stops: the caller asks again elsewhere
                break
            await follower.wait((until - found.now) / 1000)
    return found


def _order(tenant: str, parsed: ParsedRequest, here: State) -> Order:
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
    )


def _check_webhook(url: str, here: State) -> None:
    """Refuses early what would be refused at the socket; a name is looked up only when it is told."""
    try:
        check_url(url, allow_private=here["settings"].allow_private_addresses)
    except AddressRefused:
        error = {
            "field": "webhook",
            "code": "not_allowed",
            "message": "webhook is not usable.",
            "allowed": PUBLIC_ADDRESS,
        }
        raise Problem("invalid_request", "Not usable: webhook.", errors=[error]) from None


def _refuses_late(parsed: ParsedRequest, here: State) -> bool:
    return (parsed.deadline_policy or here["settings"].deadline_policy) == "refuse"


async def accept_orders(
    request: Request, here: State, orders: list[Order], body: bytes, refuse_late: Collection[str]
) -> Accepted:
    """Jobs of one tenant, all or none, under the request's `Idempotency-Key`. Raises Problem for every refusal."""
    idempotency = await idempotency_of(request, orders[0].tenant, body)
    accepted = await _accepted_or_known(here, orders, idempotency, refuse_late)
    reached(Point.ACCEPT_WRITTEN)
    if refusal := refusal_of(accepted, here):
        if accepted.verdict == "full":
            await _refuse_if_store_away(here)
        raise refusal
    return accepted


async def _accepted_or_known(
    here: State, orders: list[Order], idempotency: tuple[str, str] | None, refuse_late: Collection[str]
) -> Accepted:
    """The store's verdict; while Redis has no room for more, only what was accepted before is still answered."""
    if not here["room"].is_short:
        try:
            return await here["store"].accept(orders, allowance_of(here), idempotency, refuse_late=refuse_late)
        except RedisUnavailable as error:
            if not is_out_of_memory(error):
                raise
    known = await here["store"].accepted_before(idempotency) if idempotency else None
    if known is None:
        headers = {"retry-after": str(RETRY_WHEN_AWAY_SECONDS)}
        raise Problem("insufficient_storage", "The job store has no room for more jobs now.", headers=headers)
    return known


async def _refuse_if_store_away(here: State) -> None:
    """Why the queue is full matters to a caller: a full upstream passes by itself, a full disk does not."""
    _, _, away = await here["store"].health()
    if away:
        headers = {"retry-after": str(RETRY_WHEN_AWAY_SECONDS)}
        raise Problem("insufficient_storage", "Images cannot be stored now, so nothing is bought.", headers=headers)


def _wait_seconds(request: Request) -> float:
    for part in request.headers.get("prefer", "").replace(";", ",").split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit() and len(value) < 6:
            return min(float(value), MOST_WAIT_SECONDS)
    return 0.0


def _fresh_view(order: Order, standing: Standing, here: State) -> dict[str, Any]:
    job = Job(order, updated_at=order.created_at)
    row = encode_row(order.created_at, Status.QUEUED, "accepted", None)
    return job_view(job, row, here["viewer"], order.created_at, standing)


def _view(found: Loaded, here: State) -> dict[str, Any]:
    return job_view(found.job, found.timeline, here["viewer"], found.now, found.standing)


async def current_job(here: State, job_id: str) -> Response:
    """The job of an earlier accept, as it stands now. Raises Problem `not_found` where it has been deleted."""
    found = await here["store"].view(job_id)
    if found is None:
        raise Problem("not_found", "The job of this Idempotency-Key has been deleted.")
    return _json(_view(found, here), 202, here, job_id)


async def _current_jobs(here: State, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The jobs of an earlier batch, in its order; fewer than were asked for would be taken for others."""
    jobs = [await here["store"].view(each) for each in ids]
    if None in jobs:
        raise Problem("not_found", "A job of this Idempotency-Key has been deleted.")
    return [_view(found, here) for found in jobs if found]


async def _finished_in_time(here: State, job_id: str, seconds: float) -> Response:
    found = await wait_for_end(here, job_id, seconds)
    if found and found.job.is_terminal:
        return _json(_view(found, here), 200)
    return await current_job(here, job_id)


async def _events(here: State, job_id: str, after: int) -> AsyncIterator[bytes]:
    async with here["watch"].follow(job_id) as follower:
        while found := await here["store"].load(job_id):
            for number, row in numbered(decode_timeline(found.timeline)):
                if number > after:
                    after = number
                    yield _event(job_id, number, row)
            if found.job.status in TERMINAL:
                return
            if follower.ending:
                return
            yield b": still here\n\n"
            await follower.wait()


def _event(job_id: str, number: int, row: dict[str, Any]) -> bytes:
    data = orjson.dumps({"id": job_id, **row, "at": rfc3339(row["at"])})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, row["to"].encode(), data)


def _json(view: dict[str, Any], status: int, here: State | None = None, job_id: str = "") -> Response:
    headers = {"location": f"{here['settings'].public_url}/v1/jobs/{job_id}"} if here else None
    return Response(orjson.dumps(view), status, headers, "application/json")
