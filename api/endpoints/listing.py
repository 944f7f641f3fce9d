"""`GET /v1/jobs`: newest first, filtered while paging. No filter needs an index; a page costs the jobs it looks at."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from api.http.json_answer import json_answer
from api.http.list_parameters import rows_of_page, time_of
from api.http.problems import bad_field, problem_responses
from api.keys import authenticate
from api.schemas.job import JobList
from api.state import State, state
from worker.job.filter import END_OF_TIME, EVERY_STATUS, Filter
from worker.job.ids import is_job_id
from worker.job.record import Milliseconds, Status
from worker.shown.job import job_row

router = APIRouter(prefix="/v1", tags=["jobs"])

LOOKED_AT_PER_PAGE = 500
"""After so many jobs a page ends even if few match; its cursor continues."""
LOOKED_AT_ONCE = 100
"""Of them by one script, so that it does not block Redis."""
KNOWN = ("status", "track_id", "created_after", "created_before", "limit", "cursor")


@dataclass(frozen=True, slots=True)
class Query:
    """A list request after validation: which jobs, how many rows, and the last job of the page before."""

    jobs: Filter
    limit: int
    cursor: str | None


@router.get("/jobs", summary="List jobs", response_model=JobList,
            responses=problem_responses("unauthorized", "invalid_request", "rate_limited", "unavailable"))  # fmt: skip
async def show_list(request: Request) -> Response:
    """Newest first; filters status, track_id, metadata.KEY, created_after, created_before; pages by cursor."""
    tenant, here = await authenticate(request, "read"), state(request)
    async with here["lists"].turn(tenant):
        return json_answer(await list_jobs(here, tenant, request.query_params))


async def list_jobs(here: State, tenant: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """One page: `{"jobs": […], "next_cursor": …}`. Raises Problem `invalid_request`."""
    query = parse_query(parameters)
    rows: list[dict[str, Any]] = []
    cursor, looked_at = query.cursor, 0
    while len(rows) < query.limit and looked_at < LOOKED_AT_PER_PAGE:
        ids = await here["store"].page(tenant, query.jobs.after, query.jobs.before, cursor, LOOKED_AT_ONCE)
        if not ids:
            return {"jobs": rows, "next_cursor": None}
        room = query.limit - len(rows)
        matching = await here["store"].matching(query.jobs, ids)
        rows += await _rows(here, query.jobs, matching[:room])
        looked_at += len(ids)
        cursor = ids[-1] if len(matching) < room else matching[room - 1]
    return {"jobs": rows, "next_cursor": cursor}


async def _rows(here: State, wanted: Filter, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of those jobs, without those that were deleted, or that match no longer."""
    found = await asyncio.gather(*(here["store"].view(each) for each in job_ids))
    matching = [each for each in found if each and wanted.matches(each.job)]
    return [job_row(each.job, here["viewer"], each.now, each.standing) for each in matching]


def parse_query(parameters: Mapping[str, str]) -> Query:
    """The query string as a Query. Raises Problem `invalid_request` naming the parameter and what is allowed."""
    metadata = {
        key.removeprefix("metadata."): value for key, value in parameters.items() if key.startswith("metadata.")
    }
    for name in parameters:
        if name not in KNOWN and not name.startswith("metadata."):
            raise bad_field(name, f"known are {', '.join(KNOWN)} and metadata.KEY")
    jobs = Filter(
        statuses=_statuses(parameters.get("status")),
        track_id=parameters.get("track_id"),
        metadata=metadata,
        after=_time("created_after", parameters, 0),
        before=_time("created_before", parameters, END_OF_TIME),
    )
    return Query(jobs, rows_of_page(parameters.get("limit")), _cursor(parameters.get("cursor")))


def _statuses(text: str | None) -> frozenset[Status]:
    if text is None:
        return EVERY_STATUS
    if text not in EVERY_STATUS:
        raise bad_field("status", ", ".join(Status))
    return frozenset([Status(text)])


def _cursor(text: str | None) -> str | None:
    if text is not None and not is_job_id(text):
        raise bad_field("cursor", "the next_cursor of an earlier page")
    return text


def _time(name: str, parameters: Mapping[str, str], default: Milliseconds) -> Milliseconds:
    return time_of(name, parameters[name]) if name in parameters else default
