"""Bodies that nobody with a key has sent: counted on every method and path, refused before they are held."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.door import MIB, Door, at_once, running_door

FETCH = b"/api/v1/enterprise/fetch/1"
JOB = b"/v1/jobs/01M859N4P0ZK88SXJWVC1PBXXR"
BEARER = b"authorization: Bearer acme-key-0123\r\n"


@pytest.fixture
def door(redis_url: str, tmp_path: Path) -> Iterator[Door]:
    """A running API."""
    with running_door(redis_url, tmp_path) as running:
        yield running


def head(method: bytes, path: bytes, *fields: bytes) -> bytes:
    """The head of a request."""
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"host: x", *fields, b"", b""])


ENDLESS = [(b"GET", FETCH), (b"POST", FETCH), (b"HEAD", b"/healthz"), (b"GET", b"/healthz"), (b"DELETE", JOB),
           (b"GET", JOB + b"/events"), (b"OPTIONS", b"/v1/jobs"), (b"PUT", b"/nothing")]  # fmt: skip


@pytest.mark.parametrize("declared", [True, False])
def test_no_method_and_no_path_takes_a_body_without_end(door: Door, declared: bool) -> None:
    """64 MiB are sent to each; what is taken is what the system's own buffers hold, and memory stays."""
    length = b"content-length: %d" % (64 * MIB) if declared else b"transfer-encoding: chunked"
    piece = b"x" * 65536 if declared else b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with door.measured() as toll:
        for method, path in ENDLESS:
            sent, answer = door.pour(head(method, path, length), piece, 64 * MIB)
            assert answer.startswith(b"HTTP/1.1 "), (method, path, answer[:80])
            assert sent < 16 * MIB, f"{method!r} {path!r}: {sent / MIB:.0f} MiB were read"
    toll.check()


@pytest.mark.parametrize(("method", "path"), [(b"GET", FETCH), (b"DELETE", JOB), (b"POST", b"/v1/jobs")])
def test_a_declared_length_beyond_the_limit_is_refused_at_once(door: Door, method: bytes, path: bytes) -> None:
    """Nothing of it has to come."""
    answer = door.answer_to(head(method, path, b"content-length: 70000"))
    assert b"413" in answer[:20] or b"at most 65536 bytes" in answer


def test_a_small_body_where_none_is_taken_is_passed_over(door: Door) -> None:
    """Clients send `{}` with anything; the next request on the connection is understood."""
    one = head(b"GET", b"/healthz", b"content-length: 2") + b"{}"
    two = head(b"GET", b"/healthz", b"transfer-encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"
    last = head(b"GET", b"/healthz", b"connection: close")
    assert door.answer_to(one + two + last).count(b"HTTP/1.1 200") == 3


def test_a_refusal_reaches_a_client_that_is_still_sending(door: Door) -> None:
    """A connection that is closed under unread bytes is reset, and takes the answer with it."""
    for _ in range(20):
        request = head(b"POST", b"/v1/jobs", BEARER.strip(), b"content-length: 200000") + b"x" * 200_000
        assert door.answer_to(request).startswith(b"HTTP/1.1 413"), "the answer was lost"


def test_bodies_that_stop_short_hold_no_more_than_their_budget(door: Door) -> None:
    """1,500 connections with 60 of 64 KiB each, on a path whose key would be in the body: the oldest have to go."""
    request = head(b"POST", b"/api/v1/enterprise/text2img", b"content-length: 65000") + b"x" * 60_000
    with door.measured() as toll:
        asyncio.run(at_once(1500, door.port, request, 6))
    toll.check()


def test_big_bodies_without_a_key_are_not_read(door: Door) -> None:
    """A batch may be large, once a key has been seen."""
    request = head(b"POST", b"/v1/jobs/batch", b"content-length: 4000000") + b"x" * 1_000_000
    answers = []
    with door.measured() as toll:
        for _ in range(10):
            answers += asyncio.run(at_once(50, door.port, request, 4))
    assert {each[:12] for each in answers} <= {b"HTTP/1.1 401", b"HTTP/1.1 503", b"held", b""}
    toll.check()
