"""What is written of a record is what is read back: any record at all, and those that an earlier version wrote."""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.job.codec import decode_job, decode_order, decode_timeline, encode_doc, encode_order, encode_row
from worker.job.record import Job, Order, Status

RECORDS = sorted((Path(__file__).parent.parent / "support").glob("records_of_*.json"))
"""One file for each earlier version, written by that version's own code."""
EARLIER = [each for file in RECORDS for each in json.loads(file.read_text())["records"]]
BEFORE = json.loads((Path(__file__).parent.parent / "support" / "records_of_5a60acb.json").read_text())["records"]
NUMBERS = st.integers(-(2**53), 2**53)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=2)
BOUNDED = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of that type, so that a field that is added to the record is tested without a word here."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return st.builds(hint, **{each.name: of(hints[each.name]) for each in fields(hint)})
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin in (Union, UnionType):
        return st.one_of(*map(of, arguments))
    if origin is dict:
        return st.dictionaries(st.text(max_size=5), VALUES, max_size=2)
    return NUMBERS if hint is int else st.from_type(hint)


def hash_of(job: Job) -> dict[bytes, bytes]:
    """The fields that lua/accept.lua, lua/advance.lua and lua/includes/queue.lua write for this record."""
    row = {b"order": encode_order(job.order), b"doc": encode_doc(job), b"status": job.status.encode()}
    row |= {b"version": b"%d" % job.version, b"stalls": b"%d" % job.stalls}
    return row if job.place is None else row | {b"place": job.place.encode()}


@BOUNDED
@given(of(Order))
def test_any_order_is_read_back_as_it_was_written(order: Order) -> None:
    """Also where a value is false, empty, zero or None: what has its default is not written, what has not is."""
    assert decode_order(encode_order(order)) == order


@BOUNDED
@given(of(Job))
def test_any_job_is_read_back_as_it_was_written(job: Job) -> None:
    """With attempts, images, problem and all."""
    assert decode_job(hash_of(job)) == job


ROWS = st.lists(st.tuples(NUMBERS, st.sampled_from(Status), st.text(), st.none() | NUMBERS), min_size=1)


@BOUNDED
@given(ROWS)
def test_any_timeline_is_read_back_as_it_was_written(rows: list[tuple[int, Status, str, int | None]]) -> None:
    """Each row with where it came from, which is not written twice."""
    read = decode_timeline(b"\n".join(encode_row(*row) for row in rows))
    assert [(each["at"], each["to"], each["cause"], each["attempt"]) for each in read] == rows
    assert [each["from"] for each in read] == [None, *(row[1] for row in rows[:-1])]


@pytest.mark.parametrize("record", EARLIER, ids=[each["case"] for each in EARLIER])
def test_a_record_of_the_version_before_is_read_as_it_was_meant(record: dict[str, Any]) -> None:
    """A running Redis is full of them: what they say stands, and what they cannot say yet has its default."""
    row = {name.encode(): value.encode() for name, value in record["hash"].items()}
    read = json.loads(json.dumps(asdict(decode_job(row))))
    # what is now the name of a shape was whether it is the upstream's
    meant = record["job"]["order"]
    order = {name: value for name, value in meant.items() if name != "compatible"}
    shape = "upstream" if meant.get("compatible") else "job"
    assert_says(read, record["job"] | {"order": order | {"shape": shape}})
    assert len(decode_timeline(row[b"timeline"])) == record["hash"]["timeline"].count("\n") + 1


@pytest.mark.parametrize("record", BEFORE, ids=[each["case"] for each in BEFORE])
def test_a_record_of_the_version_before_is_written_as_that_version_wrote_it(record: dict[str, Any]) -> None:
    """Where both run for a while, each reads what the other has accepted and recorded."""
    row = {name.encode(): value.encode() for name, value in record["hash"].items()}
    job = decode_job(row)
    assert (encode_order(job.order), encode_doc(job)) == (row[b"order"], row[b"doc"])


def assert_says(read: Any, meant: Any) -> None:
    """Everything that was meant is there; more may be."""
    if isinstance(meant, dict) and isinstance(read, dict):
        for name, value in meant.items():
            assert_says(read[name], value)
    elif isinstance(meant, list) and isinstance(read, list):
        assert len(read) == len(meant)
        for each, value in zip(read, meant, strict=True):
            assert_says(each, value)
    else:
        assert read == meant
