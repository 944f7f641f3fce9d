"""What callers are told, shape by shape: byte for byte what the version before has told of the same records."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import orjson
import pytest

from worker.job.codec import decode_job
from worker.job.record import Order
from worker.shown.job import Viewer
from worker.shown.shapes import SHAPES

BEFORE = json.loads((Path(__file__).parent.parent / "support" / "records_of_5a60acb.json").read_text())
TOLD = [each for each in BEFORE["records"] if "told" in each]
VIEWER = Viewer(
    BEFORE["viewer"]["public_url"],
    tuple(secret.encode() for secret in BEFORE["viewer"]["secrets"]),
    BEFORE["viewer"]["image_url_ms"],
)


def hash_of(record: dict[str, Any]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in record["hash"].items()}


@pytest.mark.parametrize("record", TOLD, ids=[each["case"] for each in TOLD])
def test_an_end_is_told_byte_for_byte_as_by_the_version_before(record: dict[str, Any]) -> None:
    """Receivers parse it, and some compare it."""
    row = hash_of(record)
    job = decode_job(row)
    body = SHAPES[job.order.shape](job, row[b"timeline"], VIEWER, record["told"]["now"], None)
    # the one word of it that was changed on purpose
    before = record["told"]["body"].replace(" pictures are stored", " images are stored")
    assert orjson.dumps(body).decode() == before.replace("1 picture is stored", "1 image is stored")


def test_every_shape_is_told_of_every_end() -> None:
    """One that is added needs its records here; the shape of an order that names none is in the table."""
    told: dict[str, set[str]] = {}
    for record in TOLD:
        job = decode_job(hash_of(record))
        told.setdefault(job.order.shape, set()).add(job.status)
    assert told == {name: {"succeeded", "failed", "cancelled", "expired"} for name in SHAPES}
    assert next(each.default for each in fields(Order) if each.name == "shape") in SHAPES
