"""Heads of requests: counted in bytes while they come, and refused where two readers could understand two requests."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from api.cli.stack.redis_server import EmbeddedRedis
from tests.support.door import MIB, Door, at_once, running_door

START = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST /api/v1/enterprise/fetch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
LONG = b"x" * 65536


@pytest.fixture(scope="module")
def door(redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One running API for all that it should survive."""
    with running_door(redis_server.url, tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (START, b"x: y\r\n" * 10_000),
        (START + b"x: ", LONG),
        (START, LONG),
        (b"GET /", LONG),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n" * 10_000),
        (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", LONG),
        (CHUNKED + b"2;", LONG),
        (CHUNKED, b"0" * 65536),
        (b"", b"\r\n" * 32768),
    ],
    ids=["fields", "value", "name", "address", "trailers", "trailer", "extension", "zeros", "empty lines"],
)
def test_no_part_of_a_head_grows_without_end(door: Door, head: bytes, piece: bytes) -> None:
    """32 MiB are sent; the connection ends when the bound is passed, not when its time is over."""
    with door.measured() as toll:
        sent, answer = door.pour(head, piece, 32 * MIB)
    assert answer[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 414", b"HTTP/1.1 400"), answer[:80]
    assert sent < 16 * MIB, f"{sent / MIB:.0f} MiB were read"
    toll.check()


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (START + b"x: y\r\n" * 100 + b"\r\n", 431, "head_too_large"),
        (START + b"x: " + b"y" * 33_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414, "address_too_long"),
    ],
)
def test_what_is_too_large_is_a_problem_also_when_it_comes_at_once(
    door: Door, request_bytes: bytes, status: int, code: str
) -> None:
    """And the connection ends."""
    answer = door.answer_to(request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert json.loads(body)["code"] == code


@pytest.mark.parametrize(
    "request_bytes",
    [
        START + b"x: y\r\n" * 98 + b"\r\n",
        START + b"x: " + b"y" * 15_000 + b"\r\n\r\n",
        b"GET /healthz?" + b"y" * 8000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        START.replace(b"1.1", b"1.0").replace(b"host: x\r\n", b"") + b"\r\n",
        START + b"content-length: 2 \r\n\r\n{}",
        START + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ],
    ids=["fields", "value", "address", "1.0", "length with a space", "upgrade"],
)
def test_what_honest_clients_send_is_answered(door: Door, request_bytes: bytes) -> None:
    """Up to the bounds."""
    assert door.answer_to(request_bytes).startswith(b"HTTP/1.1 200 ")


POST = b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\n"
REFUSED = {
    "two hosts": b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "the same host twice": b"GET /healthz HTTP/1.1\r\nhost: x\r\nHOST: x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "0.9": b"GET /healthz\r\n\r\n",
    "0.9 with a version": b"GET /healthz HTTP/0.9\r\n\r\n",
    "2.0": b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n",
    "a preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
    "the same length twice": POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"content-length: 2, 2\r\n\r\n{}",
    "a signed length": POST + b"content-length: +2\r\n\r\n{}",
    "a length in hex": POST + b"content-length: 0x2\r\n\r\n{}",
    "an empty length": POST + b"content-length:\r\n\r\n{}",
    "a length beyond 64 bits": POST + b"content-length: 99999999999999999999999\r\n\r\n{}",
    "length and chunks": POST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    "chunks not last": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"content-length : 2\r\n\r\n{}",
    "a folded line": b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: y\r\n z\r\n\r\n",
    "a folded coding": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nhost: x\n\n",
    "one bare LF": b"GET /healthz HTTP/1.1\r\nhost: x\nx: y\r\n\r\n",
    "bare CR": b"GET /healthz HTTP/1.1\r\nhost: x\rx: y\r\n\r\n",
    "a NUL": b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: \x00\r\n\r\n",
    "a bad chunk": POST + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk of bare LF": POST + b"transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "an upgrade with a body": POST + b"connection: upgrade\r\nupgrade: x\r\ncontent-length: 2\r\n\r\n{}",
    "a tunnel": b"CONNECT evil:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
    "a fragment": b"GET /healthz#x HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_readers_could_understand_in_two_ways_is_refused(door: Door, name: str) -> None:
    """400, and what follows on the connection is not read as a request."""
    follower = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = door.answer_to(REFUSED[name] + follower)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:80]
    assert b"HTTP/1.1 200" not in answer


def test_a_body_behind_an_upgrade_is_not_the_next_request(door: Door) -> None:
    """A proxy passes it on as the body of the first."""
    hidden = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    with door.connect() as connection:
        connection.sendall(START + b"connection: upgrade\r\nupgrade: x\r\ncontent-length: %d\r\n\r\n" % len(hidden))
        asyncio.run(asyncio.sleep(0.3))
        connection.sendall(hidden)
        connection.settimeout(2)
        came = b""
        while piece := connection.recv(65536):
            came += piece
    assert came.count(b"HTTP/1.1 ") == 1


def test_a_trailer_is_no_header(door: Door) -> None:
    """The key that it brings is none."""
    request = b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    answer = door.answer_to(request + b"0\r\nauthorization: Bearer acme-key-0123\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_heads_that_stop_short_hold_no_more_than_their_budget(door: Door) -> None:
    """1,500 connections with 15 KiB of a field each."""
    with door.measured() as toll:
        asyncio.run(at_once(1500, door.port, START + b"x: " + b"y" * 15_000, 5))
    toll.check()


def test_garbage_and_upgrades_write_no_line_each(door: Door) -> None:
    """They are counted: whoever fills the log hides what he does."""
    before = len(door.log())
    for _ in range(300):
        door.answer_to(b"garbage\r\n\r\n")
        door.answer_to(START + b"connection: upgrade, close\r\nupgrade: websocket\r\n\r\n")
    assert len(door.log()) - before < 2000


def test_an_expected_continue_is_sent_before_the_body_comes(door: Door) -> None:
    """Clients of large bodies wait for it; the answer's own head is held back until its body is there."""
    head = b"POST /api/v1/enterprise/fetch HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    with door.connect() as connection:
        connection.settimeout(5)
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
