"""Errors in the shapes of other APIs (ModelsLab, OpenAI), for the compatible paths. Pure: a problem in, plain data out.

`problems.problem_response` uses these, so that every error of such a path, also the framework's, has the path's shape.
"""

from collections.abc import Sequence
from typing import Any

COMPATIBLE, OPENAI = "/api/", "/v1/images/generations"
WRONG_ADDRESS = frozenset({404, 405})
UPSTREAM_WORDS = {
    "unauthorized": "Invalid Api Key",
    "invalid_json": "Invalid API Request",
    "unsupported_media_type": "Invalid API Request",
    "budget_exceeded": "Insufficient credits. Please add more credits to continue.",
    "rate_limited": "Rate limit exceeded",
    "internal": "Internal server error. Please try again.",
    "unavailable": "Service temporarily unavailable. Please try again.",
}
OPENAI_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
OPENAI_CODES = {"unauthorized": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
OPENAI_NAMES = {"model_id": "model", "samples": "n", "width": "size", "height": "size", "metadata": "user"}


def upstream_message(code: str, detail: str, errors: Sequence[Any], limit: int | None) -> Any:
    """The message in the upstream's words: by field, or one sentence; a full queue names its limit."""
    if limit is not None:
        return f"Rate limit exceeded. Maximum {limit} queued requests allowed."
    by_field = {each["field"]: [_sentence(each)] for each in errors if each["field"]}
    return by_field or UPSTREAM_WORDS.get(code, detail)


def upstream_error(message: Any, status: int, detail: str, retry_after: str | None) -> tuple[int, dict[str, Any]]:
    """Status and body in the upstream's shape: always HTTP 200, except for an unknown address."""
    content: dict[str, Any] = {"status": "error", "message": message, "tip": detail}
    if retry_after is not None and retry_after.isdigit():
        content |= {"retry_after": int(retry_after), "tips": f"please wait for {retry_after} seconds and try again"}
    return (status if status in WRONG_ADDRESS else 200), content


def openai_error(code: str, status: int, detail: str, errors: Sequence[Any]) -> tuple[int, dict[str, Any]]:
    """Status and body in OpenAI's shape; a wrong parameter is a 400 that names it."""
    first = errors[0] if errors else None
    field = OPENAI_NAMES.get(first["field"], first["field"]) if first else None
    message = f"{field}: {first['message']} Allowed: {first['allowed']}" if first else detail
    kind = OPENAI_KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": field, "code": OPENAI_CODES.get(code, code)}
    return (400 if status == 422 else status), {"error": error}


def _sentence(error: dict[str, str]) -> str:
    if error["code"] == "required":
        return f"The {error['field']} field is required."
    return f"{error['message']} Allowed: {error['allowed']}."
