"""Errors as callers see them: problem documents (RFC 9457) with stable codes, made in one place.

docs/errors.md explains each code; a test compares the two. How an error becomes an answer is in problem_answers.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
"""After which a caller may try again what was unavailable."""

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
    "tenant_memory_full": (429, "Your jobs use as much memory as they may"),
    "rate_limited": (429, "Too many requests in a short time"),
    "too_many_followers": (429, "Too many streams and waits are open"),
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

    def document(self, instance: str) -> dict[str, Any]:
        """The problem document; `instance` is the path of the request, or empty if nothing knows it."""
        content: dict[str, Any] = {
            "type": f"/docs/errors#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "instance": instance,
        }
        return content | {"errors": list(self.errors)} if self.errors else content


class InvalidJson(Problem):
    """A body that is not JSON, is nested too deeply, or is understood differently by different readers."""

    def __init__(
        self, detail: str = "The body must be one JSON value, without NaN or Infinity, not nested deeply."
    ) -> None:
        super().__init__("invalid_json", detail)


class InvalidRequest(Problem):
    """A body that is JSON but not a request; `errors` names each field."""

    def __init__(self, errors: Sequence[Any]) -> None:
        names = ", ".join(error.field for error in errors[:5] if error.field)
        rows = [error._asdict() for error in errors]
        super().__init__("invalid_request", f"Not usable: {names}." if names else errors[0].message, errors=rows)


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


def bad_field(field: str, allowed: str) -> Problem:
    """The problem about one field or parameter; names what is allowed."""
    error = {"field": field, "code": "not_allowed", "message": f"{field} is not usable.", "allowed": allowed}
    return Problem("invalid_request", f"{field} is not usable; allowed: {allowed}.", errors=[error])
