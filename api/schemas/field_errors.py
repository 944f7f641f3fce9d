"""Errors about single fields of a request, in words. Pure.

A message never repeats text that a caller wrote. It shows numbers and flags that came, and what is allowed.
"""

import difflib
import json
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from api.schemas import own
from worker.upstream.chosen import PROVIDER

FREE_TEXT = PROVIDER.vocabulary.free_text | own.FREE_TEXT
ALLOWED = {**PROVIDER.vocabulary.allowed, **own.ALLOWED}
SHOWN_CHARACTERS = 40
NUMERIC = re.compile(r"[+-]?[0-9]*\.?[0-9]+")


class FieldError(NamedTuple):
    """Why one field is refused."""

    field: str
    code: str
    message: str
    allowed: str


def unknown_field(name: str, known: Collection[str]) -> FieldError:
    """The field does not exist; `allowed` names the one that may have been meant."""
    if name == "key":
        return FieldError("key", "unknown_field", "The key goes into the header.", "`Authorization: Bearer <api key>`")
    nearest = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {nearest[0]}?" if nearest else "It is not an attribute of a request."
    return FieldError(name[:64], "unknown_field", hint, nearest[0] if nearest else "")


def ignored(name: str) -> dict[str, Any]:
    """The same as an adjustment, for paths where unknown fields are no error."""
    return {"field": name[:64], "from": None, "to": None, "reason": "unknown, ignored"}


def missing(name: str) -> FieldError:
    """The field is required."""
    return FieldError(name, "required", f"{name} is required.", ALLOWED.get(name, ""))


def refused(name: str, value: Any) -> FieldError:
    """The value is not allowed; `value` None: it must not be shown."""
    return FieldError(name, "not_allowed", f"{name} is not usable{_shown(name, value)}.", ALLOWED.get(name, ""))


def _shown(name: str, value: Any) -> str:
    if value is None or name in FREE_TEXT:
        return ""
    numeric = isinstance(value, str) and len(value) <= SHOWN_CHARACTERS and NUMERIC.fullmatch(value)
    if numeric or isinstance(value, bool | int | float):
        return f"; it is {json.dumps(value)[:SHOWN_CHARACTERS]}"
    return f"; it is {'a long text' if isinstance(value, str) else 'not of that kind'}"
