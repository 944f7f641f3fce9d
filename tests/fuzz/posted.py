"""Bodies that callers post: one request, a batch, the compatible paths, and the fingerprint of an Idempotency-Key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

from api.http.problems import InvalidJson, InvalidRequest
from api.intake.idempotency import fingerprint
from api.schemas.request import MOST_ERRORS, ParsedRequest, decoded_object, parse_batch, parse_compatible, parse_request
from tests.fuzz.answers import JSON
from tests.fuzz.target import Target
from worker.upstream.accounts import Account
from worker.upstream.chosen import PROVIDER

EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parents[2] / "api" / "example.json").read_text())
CANARY = "canary-of-a-prompt"
ACCOUNT = Account("key-0", "https://upstream.example", "the-key")


def check_request(data: bytes) -> None:
    """A request that can be sent on as it is, or a problem that repeats nothing of a value."""
    for parse in (_one, _compatible, parse_batch):
        try:
            parsed = parse(data)
        except InvalidJson:
            continue
        except InvalidRequest as problem:
            _check_problem(problem)
            continue
        for each in parsed:
            _check_parsed(each)


def _one(data: bytes) -> list[ParsedRequest]:
    return [parse_request(data)]


def _compatible(data: bytes) -> list[ParsedRequest]:
    return [parse_compatible(decoded_object(data))]


def _check_problem(problem: InvalidRequest) -> None:
    rows = orjson.loads(orjson.dumps(problem.document("/v1/jobs")))["errors"]
    assert 1 <= len(rows) <= max(MOST_ERRORS, 200)
    assert not any(CANARY in row["message"] or CANARY in row["allowed"] for row in rows)
    assert all(len(row["field"]) <= 200 for row in rows)


def _check_parsed(parsed: ParsedRequest) -> None:
    """What is sent on has our own three fields, whatever the caller put there."""
    call = PROVIDER.submit_call(ACCOUNT, parsed.request, "ours-1", "https://ours.example/")
    sent = orjson.loads(call.body)
    assert (sent["key"], sent["track_id"], sent["webhook"]) == ("the-key", "ours-1", "https://ours.example/")
    assert orjson.loads(orjson.dumps(parsed.metadata)) == parsed.metadata
    assert 0 <= parsed.priority <= 9
    orjson.dumps(parsed.adjustments)


def check_fingerprint(data: bytes) -> None:
    """Never an exception, and white space, escapes and order of members make no difference."""
    value_hash, colon, _ = fingerprint(data).partition(":")
    if not colon:
        return
    try:
        again = json.dumps(json.loads(data), indent=1, sort_keys=True, allow_nan=False).encode()
    except (ValueError, RecursionError):  # what only the other library refuses
        return
    assert fingerprint(again).partition(":")[0] == value_hash


def _bodies() -> Iterator[bytes]:
    wrong = dict.fromkeys(EXAMPLE, CANARY)
    for content in (EXAMPLE, [EXAMPLE, EXAMPLE], wrong, EXAMPLE | {"metadata": {"a": 1}, "priority": 3}):
        yield json.dumps(content).encode()


VALUE = JSON | st.just(CANARY) | st.sampled_from(["512", "yes", "https://caller.example/hook", 10**400, 1e400])
NAMES = st.sampled_from([*EXAMPLE, "priority", "metadata", "deadline_seconds", "key", "webhook", "unknown"])
REQUESTS = st.dictionaries(NAMES, VALUE, max_size=6).map(lambda changed: EXAMPLE | changed)
POSTED = (REQUESTS | st.lists(REQUESTS, max_size=3)).map(lambda content: json.dumps(content).encode(errors="replace"))

REQUEST = Target(check_request, _bodies, POSTED)
FINGERPRINT = Target(check_fingerprint, _bodies, JSON.map(lambda value: json.dumps(value).encode(errors="replace")))
