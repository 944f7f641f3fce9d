"""Answers in JSON, made in one place."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response

NEVER_KEPT = {"cache-control": "no-store"}


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The content (plain data) as the body, in UTF-8 without white space; nothing on the way keeps it."""
    return Response(orjson.dumps(content), status, {**NEVER_KEPT, **(headers or {})}, "application/json")
