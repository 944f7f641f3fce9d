"""`/v1/jobs`: accept jobs, show one, follow one.

The hot path of `POST /v1/jobs` parses the body once, makes one round trip to Redis, and writes the bytes of its answer
itself.
"""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.finding import current_job, find_job, shown, wait_for_end
from api.http.json_answer import json_answer
from api.http.problems import Problem, problem_responses
from api.intake.accepting import REFUSALS, accept_one, accept_requests, accepted_jobs, answer_accepted
from api.keys import authenticate
from api.places import Place
from api.schemas.job import JobBatch, JobView
from api.schemas.request import parse_in_thread, parse_request, request_body_schema
from api.state import State, state
from worker.job.codec import decode_timeline, numbered
from worker.job.record import TERMINAL
from worker.job.times import rfc3339

router = APIRouter(prefix="/v1", tags=["jobs"])

MOST_WAIT_SECONDS = 60.0
ACCEPT_PROBLEMS = ("invalid_json", "invalid_request", "unauthorized", "body_too_large", "unsupported_media_type",
                   "idempotency_mismatch", *REFUSALS, "too_many_followers",
                   "unavailable")  # fmt: skip


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
    """Accepts one request. When this answers 202, the job and its message are on disk.

    `Idempotency-Key` makes repeating safe; `Prefer: wait=N` (up to 60 s) answers 200 with the finished job.
    """
    tenant, here = await authenticate(request, "submit"), state(request)
    body = await request.body()
    if wait := _wait_seconds(request):
        with here["followers"].place(tenant):
            _, accepted = await accept_one(request, tenant, parse_request(body), body)
            return await _finished_in_time(request, accepted.ids[0], wait)
    order, accepted = await accept_one(request, tenant, parse_request(body), body)
    jobs = await accepted_jobs(here, [order], accepted)
    return answer_accepted(jobs[0])


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
    with here["batches"].place(tenant) as place:
        body = await request.body()
        async with place.turn:
            batch = await parse_in_thread(body, here["settings"].max_body_bytes)
            orders, accepted = await accept_requests(request, tenant, batch, body)
            return json_answer({"jobs": await accepted_jobs(here, orders, accepted)}, 202)


@router.get(
    "/jobs/{job_id}",
    summary="Show a job",
    response_model=JobView,
    responses=problem_responses("unauthorized", "not_found", "unavailable"),
)
async def show_job(job_id: str, request: Request) -> Response:
    """The job as it stands: status, attempts, timeline, images, error, and one sentence saying why."""
    here, found = await find_job(job_id, request, "read")
    return json_answer(shown(found, here))


@router.get(
    "/jobs/{job_id}/events",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses=problem_responses("unauthorized", "not_found", "too_many_followers", "unavailable")
    | {200: {"content": {"text/event-stream": {}}}},
)
async def follow_job(job_id: str, request: Request) -> Response:
    """Server-sent events, one per transition, from the first one or after `Last-Event-ID`; ends with the job."""
    here, found = await find_job(job_id, request, "read")
    seen = request.headers.get("last-event-id", "")
    after = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 9 else 0
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    if "is_head" in request.scope:
        return Response(headers=headers, media_type="text/event-stream")
    place = here["followers"].place(found.job.order.tenant)
    return _EventStream(place, _events(request, here, job_id, after), headers)


class _EventStream(StreamingResponse):
    """Gives its place back however it ends, also if it never began."""

    def __init__(self, place: Place, events: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


async def _may_still_read(request: Request) -> bool:
    try:
        await authenticate(request, "read")
    except Problem:
        return False
    return True


def _wait_seconds(request: Request) -> float:
    for part in request.headers.get("prefer", "").replace(";", ",").split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "wait" and value.isascii() and value.isdigit() and len(value) < 6:
            return min(float(value), MOST_WAIT_SECONDS)
    return 0.0


async def _finished_in_time(request: Request, job_id: str, seconds: float) -> Response:
    here, found = state(request), await wait_for_end(request, job_id, seconds)
    if found and found.job.is_terminal:
        return json_answer(shown(found, here))
    return answer_accepted(shown(await current_job(here, job_id), here))


async def _events(request: Request, here: State, job_id: str, after: int) -> AsyncIterator[bytes]:
    async with here["watch"].follow(job_id) as follower:
        while found := await here["store"].load(job_id):
            for number, row in numbered(decode_timeline(found.timeline)):
                if number > after:
                    after = number
                    yield _event(job_id, number, row)
            if found.job.status in TERMINAL:
                return
            if follower.ending or not await _may_still_read(request):
                return
            yield b": still here\n\n"
            await follower.wait()


def _event(job_id: str, number: int, row: dict[str, Any]) -> bytes:
    data = orjson.dumps({"id": job_id, **row, "at": rfc3339(row["at"])})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, row["to"].encode(), data)
