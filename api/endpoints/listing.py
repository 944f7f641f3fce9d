"""`GET /v1/jobs`: newest first, filtered while paging: a page costs what it looks at, and no filter needs an index."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from api.http.json_answer import json_answer
from api.http.list_parameters import rows_of_page, time_of
from api.http.problems import bad_field, problem_responses
from api.keys import authenticate
from api.schemas.job import JobList
from api.state import State, state
from worker.job.ids import is_job_id
from worker.job.record import Job, Milliseconds, Status
from worker.operate.bulk import metadata_text
from worker.shown.job import job_row

router = APIRouter(prefix="/v1", tags=["jobs"])

LOOKED_AT_PER_PAGE = 2000
"""A filter that matches little ends the page there, with a cursor to go on from."""
KNOWN = ("status", "track_id", "created_after", "created_before", "limit", "cursor")


@dataclass(frozen=True, slots=True)
class Query:
    """A list request after validation."""

    status: Status | None
    track_id: str | None
    metadata: Mapping[str, str]
    after: Milliseconds
    before: Milliseconds
    limit: int
    cursor: str | None

    def matches(self, job: Job) -> bool:
        if self.status and job.status is not self.status:
            return False
        if self.track_id is not None and job.order.track_id != self.track_id:
            return False
        kept = job.order.metadata
        return all(key in kept and metadata_text(kept[key]) == value for key, value in self.metadata.items())


@router.get("/jobs", summary="List jobs", response_model=JobList,
            responses=problem_responses("unauthorized", "invalid_request", "unavailable"))  # fmt: skip
async def show_list(request: Request) -> Response:
    """Newest first; filters status, track_id, metadata.KEY, created_after, created_before; pages by cursor."""
    tenant, here = await authenticate(request, "read"), state(request)
    return json_answer(await list_jobs(here, tenant, request.query_params))


async def list_jobs(here: State, tenant: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """One page: `{"jobs": […], "next_cursor": …}`. Raises Problem `invalid_request`."""
    query = parse_query(parameters)
    rows: list[dict[str, Any]] = []
    cursor, looked_at = query.cursor, 0
    while len(rows) < query.limit and looked_at < LOOKED_AT_PER_PAGE:
        ids = await here["store"].page(tenant, query.after, query.before, cursor, query.limit)
        if not ids:
            return {"jobs": rows, "next_cursor": None}
        for found in await asyncio.gather(*(here["store"].view(each) for each in ids)):
            if found and len(rows) < query.limit:
                cursor = found.job.id
                if query.matches(found.job):
                    rows.append(job_row(found.job, here["viewer"], found.now, found.standing))
        looked_at += len(ids)
        cursor = ids[-1] if len(rows) < query.limit else cursor
    return {"jobs": rows, "next_cursor": cursor}


def parse_query(parameters: Mapping[str, str]) -> Query:
    """The query string as a Query. Raises Problem `invalid_request` naming the parameter and what is allowed."""
    metadata = {
        key.removeprefix("metadata."): value for key, value in parameters.items() if key.startswith("metadata.")
    }
    for name in parameters:
        if name not in KNOWN and not name.startswith("metadata."):
            raise bad_field(name, f"known are {', '.join(KNOWN)} and metadata.KEY")
    return Query(
        status=_status(parameters.get("status")),
        track_id=parameters.get("track_id"),
        metadata=metadata,
        after=_time("created_after", parameters, 0),
        before=_time("created_before", parameters, 2**53),
        limit=rows_of_page(parameters.get("limit")),
        cursor=_cursor(parameters.get("cursor")),
    )


def _status(text: str | None) -> Status | None:
    if text is not None and text not in list(Status):
        raise bad_field("status", ", ".join(Status))
    return Status(text) if text is not None else None


def _cursor(text: str | None) -> str | None:
    if text is not None and not is_job_id(text):
        raise bad_field("cursor", "the next_cursor of an earlier page")
    return text


def _time(name: str, parameters: Mapping[str, str], default: Milliseconds) -> Milliseconds:
    return time_of(name, parameters[name]) if name in parameters else default
