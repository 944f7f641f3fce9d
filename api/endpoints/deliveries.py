"""Webhook deliveries: list, show, replay. Every call sees only the caller's own tenant."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api.finding import find_job
from api.http.json_answer import json_answer
from api.http.list_parameters import A_TIME, MOST_ROWS, rows_of_page, time_of
from api.http.problems import Problem, bad_field, problem_responses
from api.keys import authenticate
from api.schemas.delivery import DeliveryPage, DeliveryView, JobDeliveries, ReplayedView, ReplaySince
from api.state import State, state
from worker.job.times import rfc3339
from worker.shown.delivery import delivery_view, page_view
from worker.store.api_keys import Scope
from worker.telling.record import DELIVERY_ID, STATES, Cursor, Delivery

router = APIRouter(prefix="/v1", tags=["deliveries"])

READ_PROBLEMS = problem_responses("unauthorized", "not_found", "unavailable")
CURSOR = re.compile(rf"^[0-9]{{1,15}}\.{DELIVERY_ID.pattern.removeprefix('^').removesuffix('$')}$")
PARAMETERS: list[dict[str, Any]] = [
    {"name": "state", "in": "query", "schema": {"type": "string", "enum": list(STATES)}},
    {"name": "since", "in": "query", "description": A_TIME, "schema": {"type": "string", "format": "date-time"}},
    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}},
    {"name": "cursor", "in": "query", "description": "The next_cursor of an earlier page", "schema": {
        "type": "string", "pattern": CURSOR.pattern}},
]  # fmt: skip


@router.get("/jobs/{job_id}/deliveries", summary="What you were told of a job", response_model=JobDeliveries,
            responses=READ_PROBLEMS)  # fmt: skip
async def show_of_job(job_id: str, request: Request) -> Response:
    """One delivery for each end of the job (a late result is a second end), with a row for each try."""
    here, found = await find_job(job_id, request, "read")
    deliveries = await here["deliveries"].of_job(found.job.id)
    return json_answer({"deliveries": [delivery_view(each) for each in deliveries]})


@router.get("/deliveries", summary="List deliveries", response_model=DeliveryPage,
            responses=problem_responses("unauthorized", "invalid_request", "rate_limited", "unavailable"),
            openapi_extra={"parameters": PARAMETERS})  # fmt: skip
async def show_list(request: Request) -> Response:
    """Newest first; filters `state` and `since`; pages by cursor. A page with few rows may still have a next_cursor."""
    tenant, here = await authenticate(request, "read"), state(request)
    given = request.query_params
    for name in given:
        if name not in ("state", "since", "limit", "cursor"):
            raise bad_field(name, "known are state, since, limit, cursor")
    since, wanted = time_of("since", given["since"]) if "since" in given else 0, _state(given.get("state"))
    most, cursor = rows_of_page(given.get("limit")), _cursor(given.get("cursor"))
    async with here["lists"].turn(tenant):
        page = await here["deliveries"].page(tenant, since=since, state=wanted, most=most, cursor=cursor)
    return json_answer(page_view(page))


@router.post("/deliveries/replay", status_code=202, summary="Tell again all since a time", response_model=ReplayedView,
             responses=problem_responses("unauthorized", "invalid_request", "rate_limited", "unavailable"),
             openapi_extra={"requestBody": {"required": True, "content": {"application/json": {
                 "schema": ReplaySince.model_json_schema()}}}})  # fmt: skip
async def replay_since(request: Request) -> Response:
    """Replays up to 10,000 a call, oldest first, fifty a second, each with its old id. Asking twice sends once."""
    tenant, here = await authenticate(request, "submit"), state(request)
    wanted = _replay_body(await request.body())
    since = time_of("since", wanted.since)
    async with here["lists"].turn(tenant):
        done = await here["deliveries"].replay_since(tenant, since, state=wanted.state or "")
    going_on = rfc3339(done.next_since)
    return json_answer({"replayed": done.replayed, "skipped": done.skipped, "next_since": going_on}, 202)


@router.get("/deliveries/{delivery_id}", summary="Show a delivery", response_model=DeliveryView,
            responses=READ_PROBLEMS)  # fmt: skip
async def show_delivery(delivery_id: str, request: Request) -> Response:
    """One delivery, with a row for each try."""
    _, found = await _find(delivery_id, request, "read")
    return json_answer(delivery_view(found))


@router.post("/deliveries/{delivery_id}/replay", status_code=202, summary="Tell a delivery again",
             response_model=DeliveryView,
             responses=READ_PROBLEMS | problem_responses("conflict"))  # fmt: skip
async def replay_delivery(delivery_id: str, request: Request) -> Response:
    """Sends it again at once, with the same id and the whole schedule. One that is being sent now stays as it is."""
    here, found = await _find(delivery_id, request, "submit")
    verdict = await here["deliveries"].replay(found.tenant, delivery_id)
    if verdict == "endpoint_disabled":
        raise Problem("conflict", f"Its endpoint {found.endpoint} is disabled: enable that first.")
    _, found = await _find(delivery_id, request, "submit")
    return json_answer(delivery_view(found), 202)


async def _find(delivery_id: str, request: Request, scope: Scope) -> tuple[State, Delivery]:
    """The caller's own delivery. Another tenant's is answered like one that does not exist."""
    tenant, here = await authenticate(request, scope), state(request)
    found = await here["deliveries"].read(delivery_id) if DELIVERY_ID.fullmatch(delivery_id) else None
    if found is None or found.tenant != tenant:
        raise Problem("not_found", "There is no such delivery.")
    return here, found


def _replay_body(body: bytes) -> ReplaySince:
    try:
        return ReplaySince.model_validate_json(body)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False)[0]["loc"]
        field = "state" if place[:1] == ("state",) else "since"
        raise bad_field(field, ", ".join(STATES) if field == "state" else f'{{"since": {A_TIME}}}') from None


def _state(text: str | None) -> str:
    if text is not None and text not in STATES:
        raise bad_field("state", ", ".join(STATES))
    return text or ""


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    if not CURSOR.fullmatch(text):
        raise bad_field("cursor", "the next_cursor of an earlier page")
    at, _, last = text.partition(".")
    return int(at), last
