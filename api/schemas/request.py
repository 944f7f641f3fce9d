"""Parses and validates a request in one pass: bytes in, a request or all of its field errors out. Pure.

A message never repeats text that a caller wrote. It shows numbers and flags that came, and what is allowed.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from api.http.problems import InvalidJson, InvalidRequest
from api.schemas import own
from api.schemas.field_errors import FieldError, ignored, missing, refused, unknown_field
from api.schemas.members import repeats_a_member
from api.schemas.own import MOST_METADATA, DeadlinePolicy, Own
from worker.job.record import OnUnknown
from worker.upstream.chosen import PROVIDER
from worker.upstream.forms import MOST_NUMBER

ATTRIBUTE_NAMES = frozenset(PROVIDER.vocabulary.attributes.__annotations__)
OWN_NAMES = frozenset(Own.__annotations__)
KNOWN = ATTRIBUTE_NAMES | OWN_NAMES
FLAGS = PROVIDER.vocabulary.flags
NUMBER_TEXTS = {**PROVIDER.vocabulary.number_texts, **own.NUMBER_TEXTS}
"""The texts that count as numbers; others that Python would accept (`1_0`, ` 5`, `5.0`) are refused."""
MOST_IN_BATCH = 1000
MOST_BYTES = 65_536
"""The default of DARKROOM_MAX_BODY_BYTES."""
MOST_FIELDS = 64
MOST_ERRORS = 100
_BATCHES = ThreadPoolExecutor(1, "batch")
"""One batch at a time, so that waiting ones do not use memory for decoded bodies."""

_ATTRIBUTES: TypeAdapter[Any] = TypeAdapter(PROVIDER.vocabulary.attributes)
_OWN: TypeAdapter[Any] = TypeAdapter(Own)


class ParsedRequest(NamedTuple):
    """A request that may be accepted. `request` holds the given upstream attributes in the upstream's own forms."""

    request: dict[str, Any]
    adjustments: list[dict[str, Any]]
    webhook: str | None
    track_id: str | None
    deadline_seconds: int | None
    priority: int
    on_unknown: OnUnknown | None
    deadline_policy: DeadlinePolicy | None
    metadata: dict[str, Any]


NOT_AN_OBJECT = FieldError("", "object", "A request is a JSON object.", "a JSON object")
TOO_MANY_FIELDS = FieldError("", "too_many_fields", "A request has fewer fields.", f"up to {MOST_FIELDS} fields")


def parse_request(body: bytes) -> ParsedRequest:
    """One request of `/v1`, where unknown fields are refused. Raises InvalidJson, InvalidRequest."""
    parsed, errors = _parse(_decoded(body), refuse_unknown=True)
    if parsed is None:
        raise InvalidRequest(errors)
    return parsed


def parse_compatible(content: dict[str, Any]) -> ParsedRequest:
    """One request of the compatible paths, already decoded. Unknown fields are ignored and listed in `adjustments`."""
    parsed, errors = _parse(content, refuse_unknown=False)
    if parsed is None:
        raise InvalidRequest(errors)
    return parsed


def parse_batch(body: bytes, most_bytes: int = MOST_BYTES) -> list[ParsedRequest]:
    """An array of 1 to 1,000 requests; errors name the index, as in `3.width`. Raises as parse_request does.

    `most_bytes`: the largest request, as JSON without white space; the body of a single one has the same limit.
    """
    content = _decoded(body)
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_IN_BATCH:
        allowed = f"a JSON array of 1 to {MOST_IN_BATCH} requests"
        raise InvalidRequest([FieldError("", "batch", "The body is not a batch.", allowed)])
    batch: list[ParsedRequest] = []
    errors: list[FieldError] = []
    for index, each in enumerate(content):
        is_large = len(to_json(each)) > most_bytes
        parsed, found = (None, [_too_large(most_bytes)]) if is_large else _parse(each, refuse_unknown=True)
        errors += [error._replace(field=f"{index}.{error.field}".rstrip(".")) for error in found]
        if len(errors) >= MOST_ERRORS:
            break
        if parsed:
            batch.append(parsed)
    if errors:
        raise InvalidRequest(errors[:MOST_ERRORS])
    return batch


def _too_large(most_bytes: int) -> FieldError:
    return FieldError("", "too_large", "The request is too large.", f"up to {most_bytes} bytes of JSON")


async def parse_in_thread(body: bytes, most_bytes: int) -> list[ParsedRequest]:
    """parse_batch in a thread, so that it does not block the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_BATCHES, parse_batch, body, most_bytes)


def request_body_schema(*, batch: bool = False) -> dict[str, Any]:
    """The OpenAPI `requestBody` of the accepting calls, with the documentation's own example."""
    attributes, own = _ATTRIBUTES.json_schema(), _OWN.json_schema()
    schema = {
        "type": "object",
        "title": "JobRequest",
        "required": sorted(PROVIDER.vocabulary.attributes.__required_keys__),
        "additionalProperties": False,
        "properties": attributes["properties"] | own["properties"],
    }
    example: Any = json.loads(files("api").joinpath("example.json").read_text())
    if batch:
        schema = {"type": "array", "minItems": 1, "maxItems": MOST_IN_BATCH, "items": schema}
        example = [example]
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def decoded_object(body: bytes) -> dict[str, Any]:
    """The body as one JSON object. Raises InvalidJson, InvalidRequest."""
    return _object(_decoded(body))


def _decoded(body: bytes) -> Any:
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidJson from error
    if repeats_a_member(body, value):
        raise InvalidJson("An object in the body names a member twice.")
    return value


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InvalidRequest([NOT_AN_OBJECT])
    return content


def _parse(content: Any, *, refuse_unknown: bool) -> tuple[ParsedRequest | None, list[FieldError]]:
    if not isinstance(content, dict):
        return None, [NOT_AN_OBJECT]
    if len(content) > MOST_FIELDS:
        return None, [TOO_MANY_FIELDS]
    given = {name: _flag(name, value) for name, value in content.items() if value is not None and value != ""}
    adjustments = PROVIDER.vocabulary.adjust_given(given)
    unknown = given.keys() - KNOWN
    errors = [unknown_field(name, KNOWN) for name in sorted(unknown)] if refuse_unknown else []
    errors += [
        refused(name, value) for name, value in given.items() if name in NUMBER_TEXTS and not _is_number(name, value)
    ]
    errors += [refused(name, None) for name in [each for each in given if each in KNOWN and _beyond(each, given[each])]]
    given = {name: value for name, value in given.items() if not _beyond(name, value)} if errors else given
    request = _validated(_ATTRIBUTES, {name: given[name] for name in given if name in ATTRIBUTE_NAMES}, errors)
    own = _validated(_OWN, {name: given[name] for name in given if name in OWN_NAMES}, errors)
    if errors:
        return None, errors
    adjustments += [] if refuse_unknown else [ignored(name) for name in sorted(unknown - {"key"})]
    adjustments += PROVIDER.vocabulary.adjust_checked(request, given)
    return _parsed(request, own, adjustments), []


def _is_number(name: str, value: Any) -> bool:
    if value.__class__ is str:
        return NUMBER_TEXTS[name].fullmatch(value) is not None
    return value.__class__ is not bool


def refuse_too_many(content: dict[str, Any]) -> None:
    """Raises InvalidRequest for an object with too many fields."""
    if len(content) > MOST_FIELDS:
        raise InvalidRequest([TOO_MANY_FIELDS])


def _beyond(name: str, value: Any) -> bool:
    """Whether a value is out of bounds: numbers that JSON cannot keep exactly, and too much metadata."""
    if name != "metadata":
        return not _is_kept(value)
    return not isinstance(value, dict) or len(value) > MOST_METADATA or not all(map(_is_kept, value.values()))


def _is_kept(value: Any) -> bool:
    return not isinstance(value, int | float) or -MOST_NUMBER <= value <= MOST_NUMBER  # also refuses inf and NaN


def _parsed(request: dict[str, Any], own: dict[str, Any], adjustments: list[dict[str, Any]]) -> ParsedRequest:
    return ParsedRequest(
        request,
        adjustments,
        own.get("webhook"),
        own.get("track_id"),
        own.get("deadline_seconds"),
        own.get("priority", 5),
        own.get("on_unknown"),
        own.get("deadline_policy"),
        own.get("metadata", {}),
    )


def _flag(name: str, value: Any) -> Any:
    if value.__class__ is bool and name in FLAGS:
        return "yes" if value else "no"
    return value


def _validated(adapter: TypeAdapter[Any], given: dict[str, Any], errors: list[FieldError]) -> dict[str, Any]:
    try:
        validated: dict[str, Any] = adapter.validate_python(given)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False):
            name = str(each["loc"][0])
            if name not in {known.field for known in errors}:
                errors.append(missing(name) if each["type"] == "missing" else refused(name, given.get(name)))
        return {}
    return validated
