"""Connections: how many, how long, and what is kept for those that nobody reads."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.door import KEY, MIB, Door, at_once, ended, everything, running_door

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
SCHEMA = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
SCRIPT = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def door(redis_url: str, tmp_path: Path) -> Iterator[Door]:
    """A running API."""
    with running_door(redis_url, tmp_path) as running:
        yield running


def unread(door: Door, stack: ExitStack, count: int, request: bytes) -> list[socket.socket]:
    """That many connections that ask and never read."""
    connections = [stack.enter_context(door.connect(receive_bytes=2048)) for _ in range(count)]
    for connection in connections:
        connection.setblocking(False)
        with suppress(OSError):
            connection.send(request)
    return connections


@pytest.mark.parametrize(
    ("request_bytes", "count"), [(SCHEMA * 500, 50), (SCHEMA * 6000, 20), (SCRIPT, 400), (SCHEMA, 800)]
)
def test_answers_that_nobody_reads_are_not_kept(door: Door, request_bytes: bytes, count: int) -> None:
    """One or many a connection, on many connections: the longest lying has to go."""
    with door.measured() as toll, ExitStack() as stack:
        unread(door, stack, count, request_bytes)
        time.sleep(6)
    toll.check()
    assert "Traceback" not in door.log()


def test_an_answer_that_is_not_read_ends_its_connection_in_time(redis_url: str, tmp_path: Path) -> None:
    """Not after the keep-alive: it would never come to that."""
    bounds = {"UNREAD_SECONDS": 1.5, "TICK_SECONDS": 0.2}
    with running_door(redis_url, tmp_path, bounds) as door, ExitStack() as stack:
        connections = unread(door, stack, 5, SCRIPT * 10)
        time.sleep(3.5)
        assert all(map(ended, connections))


def test_an_answer_that_is_read_slowly_is_answered_whole(redis_url: str, tmp_path: Path) -> None:
    """For longer than an answer may lie still."""
    bounds = {"UNREAD_SECONDS": 1.0, "TICK_SECONDS": 0.2}
    with running_door(redis_url, tmp_path, bounds) as door, door.connect(receive_bytes=2048) as connection:
        connection.sendall(SCRIPT.replace(b"host: x", b"host: x\r\nconnection: close"))
        came, began = 0, time.monotonic()
        while piece := connection.recv(16 * 1024):
            came += len(piece)
            time.sleep(0.03)
    assert came > MIB
    assert time.monotonic() - began > 2


def test_requests_ahead_of_their_answers_are_few(door: Door) -> None:
    """Those that were understood are answered, the last one says that it is the last."""
    answer = door.answer_to(HEALTH * 100)
    assert 10 < answer.count(b"HTTP/1.1 200 ") < 20
    assert answer.count(b"connection: close") == 1
    assert answer.rindex(b"connection: close") > answer.rindex(b"HTTP/1.1 200 ")


def test_a_pipeline_that_is_read_goes_on(door: Door) -> None:
    """In turns of a few."""
    with door.connect() as connection:
        for _ in range(20):
            connection.sendall(HEALTH * 10)
            came = b""
            while came.count(b"alive") < 10:
                came += connection.recv(65536)


def test_a_client_that_hangs_up_writes_no_traceback(door: Door) -> None:
    """However many answers it had coming."""
    with ExitStack() as stack:
        unread(door, stack, 50, SCHEMA * 15)
        time.sleep(1)
    time.sleep(1)
    assert "Traceback" not in door.log()
    assert len(door.log()) < 5000


@pytest.mark.parametrize("request_bytes", [b"", HEALTH, SCHEMA], ids=["silent", "answered", "a large answer"])
def test_more_connections_than_there_may_be_push_out_the_oldest(door: Door, request_bytes: bytes) -> None:
    """2,500 of them, and everybody else is answered."""
    with door.measured() as toll:
        answers = asyncio.run(at_once(2500, door.port, request_bytes, 6))
    assert len(answers) == 2500
    toll.check()


def test_from_one_address_only_so_many(redis_url: str, tmp_path: Path) -> None:
    """Where the operator has said so."""
    with running_door(redis_url, tmp_path, max_connections_per_address="5") as door, ExitStack() as stack:
        time.sleep(0.5)  # those of the warm-up are gone
        kept = [stack.enter_context(door.connect()) for _ in range(5)]
        time.sleep(0.2)
        answer = door.answer_to(HEALTH)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_many_connections"
        kept.pop().close()
        time.sleep(0.2)
        assert door.answer_to(HEALTH).startswith(b"HTTP/1.1 200 ")


def test_where_all_are_being_answered_the_next_one_is_told_so(redis_url: str, tmp_path: Path) -> None:
    """None of them is ended for it."""
    body = json.dumps({"model_id": "m", "prompt": "a cat"}).encode()
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\nprefer: wait=4\r\ncontent-length: %d\r\n\r\n"
    )
    with running_door(redis_url, tmp_path, max_connections="16") as door, ExitStack() as stack:
        time.sleep(0.5)
        waiting = [stack.enter_context(door.connect()) for _ in range(16)]
        for connection in waiting:
            connection.sendall(head % (KEY.encode(), len(body)) + body)
        time.sleep(1)
        answer = door.answer_to(HEALTH)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in answer
        assert all(everything(connection, 6).startswith(b"HTTP/1.1 202 ") for connection in waiting[:3])


def test_a_whole_request_is_answered_while_thousands_are_slow(door: Door) -> None:
    """An accept with a key, as an honest client sends it."""

    async def attacked() -> list[int]:
        slow = asyncio.create_task(at_once(1500, door.port, b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\n", 6))
        await asyncio.sleep(2)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}") as client:
            headers = {"authorization": f"Bearer {KEY}"}
            body = {"model_id": "m", "prompt": "a cat"}
            statuses = [(await client.post("/v1/jobs", json=body, headers=headers)).status_code for _ in range(50)]
        await slow
        return statuses

    assert set(asyncio.run(attacked())) == {202}
