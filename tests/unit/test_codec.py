"""The record as bytes and back: whatever an order or a job holds is what is read again."""

from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.job.codec import decode_job, decode_order, encode_doc, encode_order
from worker.job.record import Attempt, Failure, Image, Job, Order, Status

WHOLE = st.integers(-(2**53), 2**53) | st.just(0)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SMALL_MAP = st.dictionaries(TEXT, TEXT | WHOLE | st.booleans(), max_size=3)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint in KNOWN:
        return KNOWN[hint]
    if kind is Literal:
        return st.sampled_from(inner)
    if kind in (UnionType, Union):
        return st.one_of([values_of(each) for each in inner])
    if kind is tuple:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    assert kind is dict, f"say here what a {hint} may hold"
    return SMALL_MAP


def built(kind: type, **chosen: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass."""
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)]
    return st.builds(kind, **{name: values_of(hints[name]) for name in names if name not in chosen}, **chosen)


KNOWN: dict[Any, st.SearchStrategy[Any]] = {
    int: WHOLE,
    str: TEXT,
    bool: st.booleans(),
    type(None): st.none(),
    Any: TEXT | WHOLE | st.booleans() | st.none(),
    Status: st.sampled_from(Status),
}
for each in (Attempt, Image, Failure, Order):
    KNOWN[each] = built(each)


@given(KNOWN[Order])
def test_an_order_is_read_as_it_was_written(order: Order) -> None:
    """Every field, also where it holds 0, "", false or nothing."""
    assert decode_order(encode_order(order)) == order


@given(built(Job, place=st.none(), stalls=st.just(0)))  # the scripts keep these two
def test_a_job_is_read_as_it_was_written(job: Job) -> None:
    """Its document, with what is kept beside it."""
    row = {
        b"doc": encode_doc(job),
        b"order": encode_order(job.order),
        b"status": job.status.value.encode(),
        b"version": str(job.version).encode(),
    }
    assert decode_job(row) == job


@pytest.mark.parametrize("priority", range(10))
def test_every_priority_is_kept(priority: int) -> None:
    """0 is the lowest, not the default."""
    order = Order("id", "acme", 1, 2, {"prompt": "p"}, priority=priority)
    assert decode_order(encode_order(order)).priority == priority


def test_what_has_its_default_is_left_out_and_an_older_record_is_read() -> None:
    """Also one of a version that wrote every field."""
    needed = [each for each in fields(Order) if each.default is MISSING and each.default_factory is MISSING]
    order = Order("id", "acme", 1, 2, {})
    assert encode_order(order).count(b":") == len(needed)
    older = b'{"id":"id","tenant":"acme","created_at":1,"deadline_at":2,"request":{},"priority":5,"on_unknown":"hold"}'
    assert decode_order(older) == order
