"""Calls that change a job: cancel, resolve, retry, delete."""

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from api.finding import current_job, find_job, shown
from api.http.json_answer import json_answer
from api.http.problems import Problem, problem_responses
from api.intake.accepting import REFUSALS, accept_orders, accepted_jobs, answer_accepted
from api.intake.idempotency import idempotency_of
from api.intake.refusals import budget_exceeded
from api.keys import authenticate
from api.schemas.job import JobView
from api.state import State, state
from worker.composition import durations_of
from worker.images.removal import Forgetting
from worker.job import decisions
from worker.job.ids import new_job_id
from worker.job.record import Milliseconds, Order, Status
from worker.store.admission import OverBudget
from worker.store.steps import Decide, apply

router = APIRouter(prefix="/v1", tags=["jobs"])

PROBLEMS = problem_responses("unauthorized", "not_found", "conflict", "unavailable")


class Resolution(BaseModel):
    """How a job that is `unknown` is resolved by hand."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["resubmit", "fail"]


@router.post("/jobs/{job_id}/cancel", summary="Cancel a job", response_model=JobView, responses=PROBLEMS)
async def cancel_job(job_id: str, request: Request) -> Response:
    """Ends the job. If the upstream has been asked already, this cannot stop the charge; `charged` says so."""
    return await _applied(job_id, request, decisions.cancelled)


@router.post(
    "/jobs/{job_id}/resolve",
    summary="Decide an unknown by hand",
    response_model=JobView,
    responses=PROBLEMS | problem_responses("invalid_json", "invalid_request", "budget_exceeded"),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {
        "schema": Resolution.model_json_schema()}}}},
)  # fmt: skip
async def resolve_job(job_id: str, request: Request) -> Response:
    """`resubmit` sends the request once more, which may buy it twice; `fail` ends the job."""
    await authenticate(request, "submit")
    action = _resolution(await request.body()).action
    durations = durations_of(state(request)["settings"])
    return await _applied(job_id, request, lambda job, now: decisions.resolved(job, action, now, durations))


@router.post("/jobs/{job_id}/retry", status_code=202, summary="Run a failed job again", response_model=JobView,
             responses=PROBLEMS | problem_responses(*REFUSALS))  # fmt: skip
async def retry_job(job_id: str, request: Request) -> Response:
    """A new job with the same request, which names its origin in `retry_of`."""
    tenant, here = await authenticate(request, "submit"), state(request)
    idempotency = await idempotency_of(request, tenant, b"")
    # checked before the status: the Idempotency-Key must find its job even if the origin has changed or is gone
    if idempotency and (made := await here["store"].made_for(idempotency)):
        return answer_accepted(shown(await current_job(here, made), here))
    _, found = await find_job(job_id, request, "submit")
    if found.job.status not in (Status.FAILED, Status.EXPIRED, Status.CANCELLED):
        status = found.job.status.value
        raise Problem("conflict", f"Only a failed, expired or cancelled job can be retried; this one is {status}.")
    order = _again(found.job.order, here)
    refuse_late = [order.id] if here["settings"].deadline_policy == "refuse" else []
    accepted = await accept_orders(request, [order], b"", refuse_late)
    jobs = await accepted_jobs(here, [order], accepted)
    return answer_accepted(jobs[0])


@router.delete("/jobs/{job_id}", status_code=204, summary="Delete a finished job", responses=PROBLEMS)
async def delete_job(job_id: str, request: Request) -> Response:
    """Removes a finished job and its images."""
    here, found = await find_job(job_id, request, "submit")
    if not found.job.is_terminal:
        status = found.job.status.value
        raise Problem("conflict", f"Only a finished job can be deleted; this one is {status}. Cancel it first.")
    # if the folder cannot be removed now, the workers' sweep tries again
    await Forgetting(here["lane"], here["store"], here["images"]).forget(found.job)
    return Response(status_code=204)


async def _applied(job_id: str, request: Request, decide: Decide) -> Response:
    """Applies a decision to the caller's job, and answers with the job after it."""
    here, _ = await find_job(job_id, request, "submit")
    try:
        applied = await apply(here["store"], job_id, decide)
    except OverBudget as over:
        raise budget_exceeded(over.refusal, here["store"].now()) from None
    if applied and applied.step is None:
        raise Problem("conflict", f"This cannot be done to a job that is {applied.job.status.value}.")
    _, found = await find_job(job_id, request, "submit")
    return json_answer(shown(found, here))


def _again(order: Order, here: State) -> Order:
    now: Milliseconds = here["store"].now()
    deadline = now + (order.deadline_at - order.created_at)
    return replace(order, id=new_job_id(now), created_at=now, deadline_at=deadline, retry_of=order.id)


def _resolution(body: bytes) -> Resolution:
    try:
        return Resolution.model_validate_json(body)
    except ValidationError:
        raise Problem("invalid_request", 'The body is {"action": "resubmit"} or {"action": "fail"}.') from None
