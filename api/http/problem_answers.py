"""Every error as an answer: a problem document, or the words of the API that the path speaks."""

import re
import traceback
from pathlib import Path

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.http.dialects import COMPATIBLE, OPENAI, openai_error, upstream_error, upstream_message
from api.http.json_answer import NEVER_KEPT, json_answer
from api.http.problems import CODES, MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem
from worker.store.doubt import Doubtful
from worker.store.lane import RedisUnavailable, RedisUnfit

log = structlog.get_logger()

AWAY = "The job store does not answer. What was accepted is safe; repeat with the same Idempotency-Key."
BY_STATUS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem as an answer, in the shape of the path's API."""
    path = request.url.path
    if path.startswith(COMPATIBLE) or path == OPENAI:
        return _in_dialect(request, problem)
    headers = NEVER_KEPT | problem.headers
    if problem.code == "unauthorized":
        headers["www-authenticate"] = "Bearer"
    return Response(orjson.dumps(problem.document(path[:200])), problem.status, headers, MEDIA_TYPE)


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


class NoAnswer(Response):
    """Closes the connection without an answer, because nobody knows which status would be true."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["hang_up"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def install_problem_handlers(app: FastAPI) -> None:
    """Makes every error of the application a problem."""
    expected = (Problem, RedisUnavailable, Doubtful, ClientDisconnect, HTTPException, RequestValidationError)
    for kind in (*expected, Exception):
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
    patterns = {template: re.sub(r"\{\w+\}", "[^/]+", template) for template in paths}
    fitting = (template for template, pattern in patterns.items() if re.fullmatch(pattern, path))
    template = path if path in paths else next(fitting, None)
    methods = {method.upper() for method in paths.get(template, {})}
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
