"""Completes the OpenAPI schema with what FastAPI cannot know: parameters, which calls need a key, every error."""

from typing import Any

from api.http.list_parameters import DEFAULT_ROWS, MOST_ROWS
from api.http.problems import PROBLEM_SCHEMA, problem_responses
from worker.job.record import Status


def _parameter(name: str, place: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "description": description, "schema": schema}


IDEMPOTENCY = _parameter(
    "Idempotency-Key",
    "header",
    "The same key and body answer the same job for at least 24 h; another body is a 422.",
    type="string",
    minLength=1,
    maxLength=255,
)
PREFER = _parameter(
    "Prefer", "header", "`wait=N`: up to 60 s; 200 with the job if it ends by then. Others are ignored.", type="string"
)
LAST_EVENT = _parameter("Last-Event-ID", "header", "The last event seen: those after it are replayed.", type="string")
METADATA = {
    "name": "metadata",
    "in": "query",
    "description": "`metadata.KEY=VALUE`, once for each key: the job's metadata has it, written as JSON writes it "
    "(`true`, `3`, text without quotes).",
    "schema": {
        "type": "object",
        "maxProperties": 16,
        "patternProperties": {r"^metadata\..{1,64}$": {"type": "string"}},
        "additionalProperties": False,
    },
    "style": "form",
    "explode": True,
}
A_TIME = {"type": "string", "format": "date-time"}
PARAMETERS: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("/v1/jobs", "post"): [IDEMPOTENCY, PREFER],
    ("/v1/jobs/batch", "post"): [IDEMPOTENCY],
    ("/v1/jobs/{job_id}/retry", "post"): [IDEMPOTENCY],
    ("/v1/jobs/{job_id}/events", "get"): [LAST_EVENT],
    ("/v1/jobs/{job_id}/images/{index}", "get"): [
        _parameter("expires", "query", "As `images[].url` has it: with it and `signature`, no key.", type="string"),
        _parameter("signature", "query", "As `images[].url` has it.", type="string"),
    ],
    ("/v1/jobs", "get"): [
        _parameter("status", "query", "Only those in this status.", type="string", enum=list(Status)),
        _parameter("track_id", "query", "Only those with your `track_id`.", type="string"),
        METADATA,
        _parameter("created_after", "query", "RFC 3339, included.", **A_TIME),
        _parameter("created_before", "query", "RFC 3339, not included.", **A_TIME),
        _parameter(
            "limit", "query", "Rows of a page.", type="integer", minimum=1, maximum=MOST_ROWS, default=DEFAULT_ROWS
        ),
        _parameter(
            "cursor",
            "query",
            "The `next_cursor` of an earlier page.",
            type="string",
            pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        ),
    ],
}
KEYLESS_TOO = ("/v1/jobs/{job_id}/images/{index}",)
OURS = ("/v1/", "/webhooks/")


def complete(schema: dict[str, Any]) -> None:
    """Completes the schema in place, so that `/docs` and generated clients are correct."""
    components = schema["components"]
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, calls in schema["paths"].items():
        for method, call in calls.items():
            _complete_call(path, method, call)


def _complete_call(path: str, method: str, call: dict[str, Any]) -> None:
    # FastAPI's own 422: a path parameter of the wrong type is answered with our problem `not_found`
    if "HTTPValidationError" in str(call["responses"].get("422")):
        del call["responses"]["422"]
    call["responses"].setdefault("405", problem_responses("method_not_allowed")[405])
    if path.startswith("/v1/"):
        call["security"] = [{"key": []}, {}] if path in KEYLESS_TOO else [{"key": []}]
        _declare(call, "unauthorized", "forbidden", "unavailable")
    if path.startswith(OURS) and method != "get":
        _declare(call, "body_too_large", "unsupported_media_type")
    if added := PARAMETERS.get((path, method)):
        call["parameters"] = [*call.get("parameters", []), *added]
        if IDEMPOTENCY in added:
            _declare(call, "invalid_request", "idempotency_mismatch")


def _declare(call: dict[str, Any], *codes: str) -> None:
    for status, response in problem_responses(*codes).items():
        call["responses"].setdefault(str(status), response)
