"""Encodes the record for Redis, and decodes it. Pure. Defaults are left out, because most fields have them."""

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from typing import Any

import orjson

from worker.job.record import Attempt, Failure, Image, Job, Milliseconds, Order, Status

KEPT_APART = frozenset({"order", "status", "version", "place", "stalls"})
DOC_FIELDS = tuple(each for each in fields(Job) if each.name not in KEPT_APART)


COMPATIBLE = "upstream"
"""The shape that is kept as `"compatible": true`, as it always was: an older version may read and write beside ours."""
ORDER_FIELDS = tuple(
    (each.name, each.default if each.default_factory is MISSING else each.default_factory()) for each in fields(Order)
)


def encode_order(order: Order) -> bytes:
    """The order as JSON, without defaults."""
    values = ((name, getattr(order, name), default) for name, default in ORDER_FIELDS)
    written = {name: value for name, value, default in values if value != default}
    if order.shape == COMPATIBLE:
        del written["shape"]
        written["compatible"] = True
    return orjson.dumps(written)


def encode_doc(job: Job) -> bytes:
    """The part of the record that changes, as JSON, without defaults."""
    values = ((each.name, getattr(job, each.name), each.default) for each in DOC_FIELDS)
    return orjson.dumps({name: value for name, value, default in values if value != default})


def encode_row(at: Milliseconds, to: Status, cause: str, attempt: int | None) -> bytes:
    """One row of the timeline."""
    return orjson.dumps([at, to, cause, attempt])


def decode_timeline(lines: bytes) -> list[dict[str, Any]]:
    """The timeline as rows with `at` (ms), `from`, `to`, `cause`, `attempt`, oldest first.

    A long timeline lacks its middle (lua/includes/timeline.lua): the row after the gap says in `omitted` how many rows
    are left out.
    """
    rows: list[dict[str, Any]] = []
    before, omitted = None, 0
    for line in lines.splitlines():
        match orjson.loads(line):
            case [at, to, cause, attempt]:
                row = {"at": at, "from": before, "to": to, "cause": cause, "attempt": attempt}
                rows.append(row | ({"omitted": omitted} if omitted else {}))
                before, omitted = to, 0
            case [omitted, before]:
                pass
    return rows


def numbered(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row of a timeline with its number, from 1. Omitted rows keep their numbers."""
    number = 0
    for row in rows:
        number += 1 + row.get("omitted", 0)
        yield number, row


def decode_job(row: dict[bytes, bytes]) -> Job:
    """The record from its Redis hash."""
    doc: dict[str, Any] = orjson.loads(row[b"doc"])
    return Job(
        order=decode_order(row[b"order"]),
        status=Status(row[b"status"].decode()),
        version=int(row[b"version"]),
        place=row[b"place"].decode() if b"place" in row else None,
        stalls=int(row.get(b"stalls", 0)),
        **_revived(doc),
    )


def decode_order(text: bytes) -> Order:
    """The order from its JSON."""
    values: dict[str, Any] = orjson.loads(text)
    values["adjustments"] = tuple(values.get("adjustments", ()))
    if values.pop("compatible", False):
        values["shape"] = COMPATIBLE
    return Order(**values)


def _revived(doc: dict[str, Any]) -> dict[str, Any]:
    if "attempts" in doc:
        doc["attempts"] = tuple(Attempt(**attempt) for attempt in doc["attempts"])
    if "images" in doc:
        doc["images"] = tuple(Image(**image) for image in doc["images"])
    if "error" in doc:
        doc["error"] = Failure(**doc["error"])
    for name in ("links", "decoder_deaths"):
        if name in doc:
            doc[name] = tuple(doc[name])
    return doc
