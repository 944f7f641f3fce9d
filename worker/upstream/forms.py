"""The types of request attributes, for validation and for OpenAPI.

A provider's attributes and Darkroom's own use the same types. Numbers may come as text, flags as booleans; null and
empty values count as not given.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field

from worker.upstream.numbers import decimal_pattern, whole_pattern

STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)
"""The pydantic configuration of every TypedDict with such types."""
Flag = Literal["yes", "no"]

MOST_NUMBER = 9 * 10**18
"""Fits into 64 bits, and is the same number for JSON readers that only have doubles."""
Boolean = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-MOST_NUMBER, le=MOST_NUMBER)]
Real = Annotated[float, Field(strict=True, ge=-MOST_NUMBER, le=MOST_NUMBER, allow_inf_nan=False)]

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
NO_NUL = r"^[^\x00]*$"


def shown_as(schema: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Shows what is accepted in OpenAPI, instead of the narrower type that it is converted to."""

    def replace(shown: dict[str, Any]) -> None:
        kept = {name: shown[name] for name in ("title", "description") if name in shown}
        shown.clear()
        shown.update(kept | schema)

    return replace


def number(description: str, low: int, high: int, default: float | None = None, *, whole: bool = True) -> Any:
    """A number within that range, both ends included; with `whole=False` from 0, with a fraction."""
    pattern = whole_pattern(low, high) if whole else decimal_pattern(high)
    return number_field(description, low, high, pattern, default, whole=whole)


def number_field(
    description: str,
    low: int,
    high: int,
    pattern: str,
    default: float | None = None,
    *,
    whole: bool = True,
    least: int | None = None,
) -> Any:
    """As `number`, with its own pattern for text; `least` is shown instead of `low`."""
    forms = [
        {"type": "integer" if whole else "number", "minimum": low if least is None else least, "maximum": high},
        {"type": "string", "pattern": or_empty(pattern), "description": "The number as text"},
        {"type": "null"},
    ]
    schema = {"description": description, "anyOf": forms} | ({} if default is None else {"default": default})
    return Field(ge=low, le=high, allow_inf_nan=False, json_schema_extra=shown_as(schema))


def optional(description: str, *forms: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """One of these types, or "not given" (null, empty)."""
    return shown_as({"description": description, "anyOf": [*forms, {"type": "null"}]})


def or_empty(pattern: str) -> str:
    """The pattern, or an empty text, as one pattern, because schema tools treat alternatives separately."""
    return f"^({pattern.removeprefix('^').removesuffix('$')})?$"


def flag(description: str, default: str) -> Any:
    """`yes` or `no`, as words or as booleans."""
    forms = [{"type": "string", "enum": ["yes", "no", ""]}, {"type": "boolean"}, {"type": "null"}]
    schema = {"description": description, "anyOf": forms, "default": default}
    return Field(json_schema_extra=shown_as(schema))


def text_forms(least: int, most: int, pattern: str) -> list[dict[str, Any]]:
    """Text, a number that is converted to text, and "not given" if the attribute is optional."""
    text = {"type": "string", "minLength": least, "maxLength": most, "pattern": pattern}
    numbers = [{"type": kind, "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER} for kind in ("integer", "number")]
    return [text, *numbers, *([] if least else [{"type": "null"}])]


def text(description: str, most: int = 255, pattern: str = NO_CONTROL) -> Any:
    """Text of up to `most` characters, or a number that is converted to text."""
    schema = {"description": description, "anyOf": text_forms(0, most, pattern)}
    return Field(max_length=most, pattern=pattern, json_schema_extra=shown_as(schema))


def choice(options: Any, description: str, default: str | None = None) -> Any:
    """One of the words of a Literal."""
    schema = {"description": description, "enum": [*get_args(options), None, ""]}
    return Field(json_schema_extra=shown_as(schema | ({"default": default} if default else {})))
