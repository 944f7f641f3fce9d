"""A member that is named twice: whoever reads the first one reads another request than who reads the last."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from api.http.problems import InvalidJson
from api.schemas.members import repeats_a_member
from api.schemas.request import parse_batch, parse_request

TEXTS = st.text(st.sampled_from('ab":\\ \n,{}[]é'), max_size=4)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model_id":"m","prompt":"a","prompt":"b"}',
        b'{"model_id":"m","prompt":"a","pro\\u006dpt":"b"}',
        b'{"model_id":"m","prompt" :"a","prompt":"b"}',
        b'{"model_id":"m","prompt":"a","metadata":{"n":1,"n":2}}',
        b'{"prompt" : "a", "model_id":"m", "prompt"\n:":"}',
    ],
)
def test_a_member_named_twice_is_refused(body: bytes) -> None:
    """At every depth, however its name is written."""
    with pytest.raises(InvalidJson):
        parse_request(body)
    with pytest.raises(InvalidJson):
        parse_batch(b"[" + body + b"]")


@given(VALUES, st.sampled_from([(",", ":"), (", ", " : "), (" ,\n", "\n:\t")]), st.booleans())
def test_nothing_else_is(value: object, separators: tuple[str, str], ascii_only: bool) -> None:
    """Whatever its strings look like, and however it is spaced."""
    body = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()
    assert not repeats_a_member(body, from_json(body))


@given(st.dictionaries(TEXTS, VALUES, min_size=1), st.sampled_from([(",", ":"), (" , ", " :")]), st.booleans())
def test_a_repeated_member_is_found_wherever_it_stands(
    members: dict[str, object], separators: tuple[str, str], nested: bool
) -> None:
    """The same object with one of its members once more at its end."""
    name, text = next(iter(members)), json.dumps(members, separators=separators)
    twice = f"{text[:-1]}{separators[0]}{json.dumps(name)}{separators[1]}null}}"
    body = (f"[{twice}]" if nested else twice).encode()
    assert repeats_a_member(body, from_json(body))
