"""What the client says of a POST to servers that misbehave on real sockets: sent once, "not taken" only when proven."""

import asyncio
import json
import socket

import aiohttp
import httpx
import pytest

from tests.support.upstream_server import (
    PUBLIC,
    SECRET,
    Connection,
    Script,
    answer,
    answering,
    at,
    client,
    drip,
    flood,
    never_answer,
    refuse,
    reset_after_request,
    reset_at_once,
    serving,
)
from worker.job.answer import NotTaken, Open, Reason, Taken
from worker.network.transport import Sending, translated
from worker.signing import check_callback_token

REQUEST = {"prompt": "canary prompt", "seed": None}
TRACK_ID = "01J00000000000000000000000-1"
PROCESSING = b'{"status":"processing","id":134701497,"eta":2.75,"output":[]}'


OPEN_SCRIPTS: dict[str, Script] = {
    "closes without an answer": refuse,
    "resets after the request": reset_after_request,
    "resets as soon as it is connected": reset_at_once,
    "never answers": never_answer,
    "drips": drip,
    "sends more than anyone asked for": flood,
    "breaks off in the status line": answering(b"HTTP/1.1 20"),
    "breaks off in the headers": answering(b"HTTP/1.1 200 OK\r\ncontent-le"),
    "breaks off in the body": answering(answer(PROCESSING)[:-5]),
    "breaks off in a chunk": answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"),
    "speaks something else": answering(b"220 mail.example ESMTP\r\n"),
    "answers 500": answering(answer(b'{"status":"error","message":"x"}', "500 No")),
    "answers 503 by a proxy": answering(answer(b"<html>", "503 No")),
    "answers 200 that is not JSON": answering(answer(b"<html>")),
    "answers compressed although asked not to": answering(
        answer(b"\x1f\x8b\x08", headers="content-encoding: gzip\r\n")
    ),
}


@pytest.mark.parametrize("name", OPEN_SCRIPTS)
async def test_a_server_that_may_have_taken_the_request_leaves_it_open(name: str) -> None:
    """From the moment there was a connection, nothing but a clear answer proves anything; and one POST is all."""
    async with serving(OPEN_SCRIPTS[name]) as server, client(seconds=0.5, connect_seconds=0.5) as upstream:
        outcome = await upstream.submit(at(server.url), REQUEST, TRACK_ID)
    assert isinstance(outcome, Open), outcome
    assert server.connections == 1
    assert len(server.requests) <= 1
    assert "canary" not in repr(outcome)


async def test_a_kept_connection_that_breaks_leaves_the_request_open_and_is_not_tried_again() -> None:
    """The trap of every pool: a second POST on a connection that the server is just closing."""

    async def answer_first_only(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer(PROCESSING))
        await connection.request()

    async with serving(answer_first_only) as server, client() as upstream:
        first = await upstream.submit(at(server.url), REQUEST, TRACK_ID)
        second = await upstream.submit(at(server.url), REQUEST, TRACK_ID)
    assert isinstance(first, Taken)
    assert isinstance(second, Open)
    assert (server.connections, len(server.requests)) == (1, 2)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://nothing.invalid:{port}", "http://127.1:{port}"])
async def test_without_a_connection_nothing_was_taken(url: str) -> None:
    """Refused, a name that does not exist, and a host that is no proper address."""
    async with client() as upstream:
        outcome = await upstream.submit(at(url.format(port=free_port())), REQUEST, TRACK_ID)
    assert isinstance(outcome, NotTaken)
    assert outcome.reason is Reason.UNREACHABLE


async def test_a_failed_tls_handshake_means_not_taken() -> None:
    """No byte of the request goes out before the handshake is done."""

    async def no_tls(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(no_tls) as server, client() as upstream:
        outcome = await upstream.submit(at(server.url.replace("http:", "https:")), REQUEST, TRACK_ID)
    assert isinstance(outcome, NotTaken)
    assert outcome.reason is Reason.UNREACHABLE


async def test_a_connection_that_is_not_made_in_time_means_not_taken() -> None:
    """Here the handshake hangs; the total must not end it first, which would leave it open."""
    async with (
        serving(lambda connection: connection.hang()) as server,
        client(seconds=5, connect_seconds=0.3) as upstream,
    ):
        outcome = await upstream.submit(at(server.url.replace("http:", "https:")), REQUEST, TRACK_ID)
    assert outcome == NotTaken(Reason.UNREACHABLE, "no connection (ConnectionTimeoutError)")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_not_dialled_unless_allowed(host: str) -> None:
    """By number, by name, and hidden in IPv6: nobody is connected to, nothing is taken."""
    async with serving(never_answer) as server, client(allow_private=False) as upstream:
        outcome = await upstream.submit(at(server.url.replace("127.0.0.1", host)), REQUEST, TRACK_ID)
        assert server.connections == 0
    assert isinstance(outcome, NotTaken)
    assert outcome.reason is Reason.UNREACHABLE


async def test_an_address_that_is_none_is_a_wrong_configuration() -> None:
    """Nothing is raised for it either."""
    async with client() as upstream:
        outcome = await upstream.submit(at("http://127.0.0.1:port"), REQUEST, TRACK_ID)
    assert isinstance(outcome, NotTaken)
    assert outcome.reason is Reason.MISCONFIGURED


async def test_a_redirect_is_not_followed() -> None:
    """A second POST elsewhere would be a second bill, and would carry the key away."""
    async with serving(never_answer) as elsewhere:
        moved = answering(answer(b"", "307 Moved", f"location: {elsewhere.url}\r\n"))
        async with serving(moved) as server, client() as upstream:
            outcome = await upstream.submit(at(server.url), REQUEST, TRACK_ID)
        assert elsewhere.connections == 0
    assert isinstance(outcome, NotTaken)
    assert outcome.reason is Reason.MISCONFIGURED


async def test_the_request_goes_out_as_it_is_and_asks_for_a_plain_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the path of the documents, with key, track_id and webhook, past any proxy of the environment."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with serving(answering(answer(PROCESSING))) as server, client() as upstream:
        outcome = await upstream.submit(at(server.url), REQUEST, TRACK_ID)
    assert isinstance(outcome, Taken)
    assert outcome.answer.request_id == "134701497"
    head, body = server.requests[0]
    assert head.startswith(b"POST /canary-path/text2img HTTP/1.1\r\n")
    assert b"\r\naccept-encoding: identity\r\n" in head.lower()
    sent = json.loads(body)
    token = sent.pop("webhook").removeprefix(f"{PUBLIC}/webhooks/modelslab/")
    assert check_callback_token(token, (SECRET.encode(),)) == ("01J00000000000000000000000", 1)
    assert sent == {"key": "canary-key", "prompt": "canary prompt", "track_id": TRACK_ID}


async def test_hundreds_are_in_flight_at_once() -> None:
    """No hidden limit: all are on the wire before the first is answered."""
    together = asyncio.Barrier(300)

    async def answer_when_all_are_here(connection: Connection) -> None:
        await connection.request()
        await together.wait()
        await connection.send(answer(PROCESSING))

    async with serving(answer_when_all_are_here) as server, client(seconds=20, connect_seconds=10) as upstream:
        outcomes = await asyncio.gather(*(upstream.submit(at(server.url), REQUEST, TRACK_ID) for _ in range(300)))
    assert all(isinstance(each, Taken) for each in outcomes)
    assert len(server.requests) == 300


@pytest.mark.parametrize(
    ("error", "connected", "expected"),
    [
        (aiohttp.InvalidURL("http://"), False, httpx.ConnectError),
        (aiohttp.ConnectionTimeoutError("x"), False, httpx.ConnectTimeout),
        (aiohttp.ConnectionTimeoutError("x"), True, httpx.ReadTimeout),
        (aiohttp.InvalidURL("http://"), True, httpx.ReadError),
        (aiohttp.ServerDisconnectedError(), False, httpx.ReadError),
        (aiohttp.ClientConnectionError("canary"), False, httpx.ReadError),
        (aiohttp.SocketTimeoutError("x"), True, httpx.ReadTimeout),
        (ConnectionResetError("canary"), True, httpx.ReadError),
        (RuntimeError("canary"), False, httpx.ReadError),
    ],
)
def test_not_sent_needs_both_proofs(error: Exception, connected: bool, expected: type[Exception]) -> None:
    """The class of the error and the trace; where they disagree, or the error is unknown, it is open."""
    found = translated(error, Sending(connected), None)
    assert type(found) is expected
    assert "canary" not in str(found)
