"""Answers in JSON, made in one place."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The content (plain data) as the body, in UTF-8 without white space."""
    return Response(orjson.dumps(content), status, headers, "application/json")
