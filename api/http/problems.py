"""Errors as callers see them: problem documents (RFC 9457) with stable codes, made in one place.

docs/errors.md explains each code; a test compares the two.
"""

import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.http.dialects import COMPATIBLE, OPENAI, openai_error, upstream_error, upstream_message
from api.http.json_answer import json_answer
from worker.store.doubt import Doubtful
from worker.store.lane import RedisUnavailable, RedisUnfit

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
AWAY = "The job store does not answer. What was accepted is safe; repeat with the same Idempotency-Key."

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "This is not a request as HTTP has it"),
    "invalid_json": (400, "The body is not JSON"),
    "unauthorized": (401, "A valid API key is missing"),
    "forbidden": (403, "The key may not do this"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This address does not take that method"),
    "conflict": (409, "The job's status does not allow this"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body's type or encoding is not taken"),
    "address_too_long": (414, "The address is too long"),
    "range_not_satisfiable": (416, "The range is outside the image"),
    "invalid_request": (422, "The request has fields that are not allowed"),
    "idempotency_mismatch": (422, "The Idempotency-Key was used with another body"),
    "queue_full": (429, "Too many jobs are waiting"),
    "tenant_queue_full": (429, "Too many jobs of yours are waiting"),
    "rate_limited": (429, "Too many requests in a short time"),
    "budget_exceeded": (429, "The budget of this day or month is used up"),
    "deadline_unreachable": (429, "The job would not end before its deadline"),
    "head_too_large": (431, "The header fields are too many or too large"),
    "internal": (500, "Something is broken here"),
    "unavailable": (503, "Something that is needed does not answer"),
    "too_many_connections": (503, "Too many connections are open"),
    "generation_failed": (502, "The images could not be made"),
    "timeout": (504, "The job did not end in time and goes on"),
    "insufficient_storage": (507, "There is no room to store more"),
}
BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class Problem(Exception):
    """An expected error. Its code decides status and title; `limit` is how many jobs may wait, for a full queue."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Any] = (),
        limit: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.headers, self.errors = code, detail, dict(headers or {}), errors
        self.limit = limit
        self.status, self.title = CODES[code]


class InvalidJson(Problem):
    """A body that is not JSON, or is nested too deeply."""

    def __init__(self) -> None:
        super().__init__("invalid_json", "The body must be one JSON value, without NaN or Infinity, not nested deeply.")


class InvalidRequest(Problem):
    """A body that is JSON but not a request; `errors` names each field."""

    def __init__(self, errors: Sequence[Any]) -> None:
        names = ", ".join(error.field for error in errors[:5] if error.field)
        rows = [error._asdict() for error in errors]
        super().__init__("invalid_request", f"Not usable: {names}." if names else errors[0].message, errors=rows)


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem as an answer, in the shape of the path's API."""
    path = request.url.path
    if path.startswith(COMPATIBLE) or path == OPENAI:
        return _in_dialect(request, problem)
    content: dict[str, Any] = {
        "type": f"/docs/errors#{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": request.url.path[:200],
    }
    if problem.errors:
        content["errors"] = list(problem.errors)
    headers = dict(problem.headers)
    if problem.code == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    return Response(orjson.dumps(content), problem.status, headers, MEDIA_TYPE)


def _in_dialect(request: Request, problem: Problem) -> Response:
    headers = dict(problem.headers)
    if request.url.path == OPENAI:
        status, content = openai_error(problem.code, problem.status, problem.detail, problem.errors)
        if status >= 500 and "idempotency-key" not in request.headers:
            headers["x-should-retry"] = "false"  # the job may have been accepted: a retry would buy again
    else:
        message = upstream_message(problem.code, problem.detail, problem.errors, problem.limit)
        status, content = upstream_error(message, problem.status, problem.detail, headers.get("retry-after"))
    return json_answer(content, status, headers)


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses=` for these codes: one entry per status, which names its codes."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, title = CODES[code]
        known = responses.get(status, {}).get("description")
        text = f"{known}; `{code}`: {title}" if known else f"`{code}`: {title}"
        schema = {"$ref": "#/components/schemas/Problem"}  # put there by openapi.complete()
        responses[status] = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
    return responses


PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "message", "allowed"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "message", "allowed")},
            },
        },
    },
}


class NoAnswer(Response):
    """Closes the connection without an answer, because nobody knows which status would be true."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["hang_up"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def bad_field(field: str, allowed: str) -> Problem:
    """The problem about one field or parameter; names what is allowed."""
    error = {"field": field, "code": "not_allowed", "message": f"{field} is not usable.", "allowed": allowed}
    return Problem("invalid_request", f"{field} is not usable; allowed: {allowed}.", errors=[error])


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of the application a problem."""
    for kind in (
        Problem,
        RedisUnavailable,
        Doubtful,
        ClientDisconnect,
        HTTPException,
        RequestValidationError,
        Exception,
    ):
        app.add_exception_handler(kind, _on_error)


def problem_of(request: Request, error: Exception) -> Response:
    """The answer to any error: a Problem as it says, Redis away as 503, a bug as 500 without its text."""
    match error:
        case Problem():
            return problem_response(request, error)
        case RedisUnavailable():
            words = f"Nothing is accepted: {error}." if isinstance(error, RedisUnfit) else AWAY
            return problem_response(
                request, Problem("unavailable", words, headers={"retry-after": RETRY_AFTER_SECONDS})
            )
        case Doubtful():
            return NoAnswer(status_code=500)
        case ClientDisconnect():  # disconnected while sending its body: nobody reads this answer, and nothing is wrong
            return problem_response(request, Problem("invalid_json", "The body did not come to its end."))
        case HTTPException():
            return problem_response(request, _of_framework(request, error))
        case RequestValidationError():  # a path or query parameter of the wrong type: such a thing does not exist
            return problem_response(request, Problem("not_found", "There is nothing at this address."))
    # only class and place are logged: an error's text may hold what a caller wrote
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("request.failed", kind=type(error).__name__, at=f"{Path(place.filename).name}:{place.lineno}")
    return problem_response(request, Problem("internal", "This is our fault; it has been logged."))


async def _on_error(request: Request, error: Exception) -> Response:
    return problem_of(request, error)


def _of_framework(request: Request, error: HTTPException) -> Problem:
    code = BY_STATUS.get(error.status_code, "invalid_request" if error.status_code < 500 else "internal")
    # the framework names the methods of one route only, but an address may have several
    allow = {"Allow": ", ".join(methods_of(request))} if code == "method_not_allowed" else {}
    return Problem(code, CODES[code][1] + ".", headers=allow or error.headers)


def methods_of(request: Request) -> list[str]:
    """Every method of the request's address, by the OpenAPI schema."""
    paths, path = request.app.openapi()["paths"], request.url.path
    template = path if path in paths else next((each for each in paths if _is_of(each, path)), None)
    methods = {method.upper() for method in paths.get(template, {})}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _is_of(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) is not None
