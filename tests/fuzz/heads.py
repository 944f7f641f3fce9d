"""Raw bytes of a connection into the guard's protocol: what requests come out, and what is left of the connection.

An input is how many bytes come first, a line feed, and the bytes. The oracles: the same bytes in other pieces, and h11,
a parser that shares nothing with ours. Where both understand a request, it must be the same one.
"""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

import h11
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.guard.crowd import Crowd
from api.guard.protocol import GuardedProtocol
from tests.fuzz.target import Target

TURNS = 24
"""Of the event loop, in which an application that answers at once has answered."""
MOST_CONNECTIONS = 100


class Seen(NamedTuple):
    """A request that was understood whole."""

    method: bytes
    target: bytes
    body: bytes


class Wire(asyncio.Transport):
    """A connection without a system below it: what is written is thrown away, and it says when it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("198.51.100.7", 4000), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def write(self, data: Any) -> None:
        assert data is not None

    def writelines(self, list_of_data: Any) -> None:
        assert all(each is not None for each in list_of_data)

    def write_eof(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True


class Understood:
    """An application that reads every request whole and answers nothing but 200."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        check_scope(scope, body)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        self.requests.append(Seen(scope["method"].encode(), scope["raw_path"] + query, body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def check_scope(scope: Any, body: bytes) -> None:
    """What two readers could understand in two ways never gets as far as the application."""
    names = [name for name, _ in scope["headers"]]
    assert names.count(b"host") <= 1
    assert scope["http_version"] == "1.0" or b"host" in names
    assert names.count(b"content-length") <= 1
    assert not (b"content-length" in names and b"transfer-encoding" in names)
    assert not any(byte in part for header in scope["headers"] for part in header for byte in b"\r\n\0")
    for name, value in scope["headers"]:
        assert name != b"content-length" or int(value) == len(body)


def check_connection(data: bytes) -> None:
    """The same requests in any pieces and for another parser, and nothing is left behind."""
    first, _, raw = data.partition(b"\n")
    at = int(first) if first.isdigit() and len(first) < 6 else len(raw) // 2
    whole, parts = LOOP.run_until_complete(_seen([raw])), LOOP.run_until_complete(_seen([raw[:at], raw[at:]]))
    for one, other in ((whole, parts), (whole, _by_h11(raw))):
        shared = min(len(one), len(other))
        assert one[:shared] == other[:shared]


async def _seen(pieces: list[bytes]) -> list[Seen]:
    application, crowd, wire = Understood(), Crowd(MOST_CONNECTIONS), Wire()
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    config = Config(application, lifespan="off", log_config=None, access_log=False, server_header=False)
    config.load()
    state = ServerState()
    protocol = GuardedProtocol(crowd, config, state, {})
    protocol.connection_made(wire)
    for piece in filter(None, pieces):
        await _turns(wire)
        if not wire.ended:
            protocol.data_received(piece)
    await _turns(wire)
    protocol.connection_lost(None)
    await _turns(wire)
    assert not errors, errors
    assert not state.tasks
    assert (crowd._held, crowd._held_big, crowd._unread_bytes, len(crowd._all)) == (0, 0, 0, 0)
    assert not crowd._idle
    assert not crowd._arriving
    return application.requests


async def _turns(wire: Wire) -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert wire.paused in (True, False)


def _by_h11(raw: bytes) -> list[Seen]:
    found: list[Seen] = []
    connection = h11.Connection(h11.SERVER)
    with suppress(h11.ProtocolError):
        connection.receive_data(raw)
        while request := _next(connection):
            found.append(request)
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    return found


def _next(connection: h11.Connection) -> Seen | None:
    request, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and request:
            return Seen(bytes(request.method), bytes(request.target), body)
        else:
            return None


LOOP = asyncio.new_event_loop()
"""Ours alone, for as long as the process lives."""

LINES = st.sampled_from(
    [
        *(
            b"GET /healthz HTTP/1.1\r\n",
            b"POST /v1/jobs?a=b HTTP/1.1\r\n",
            b"GET / HTTP/1.0\r\n",
            b"\r\n",
            b"abc",
            b"\n",
        ),
        *(
            b"Host: a\r\n",
            b"Content-Length: 3\r\n",
            b"Content-Length: 03\r\n",
            b"Content-Length: +3\r\n",
            b" folded\r\n",
        ),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: xchunked\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"),
        *(b"0\r\nx: y\r\n\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"GET http://b/ HTTP/1.1\r\n"),
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ]
)
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
SEEDS = [b"%d\n%s" % (at, raw) for at, raw in ((0, GET), (10, POST + GET), (70, CHUNKED + GET), (1, GET * 3))]
SEEDS.append(b"9\n" + GET + b"GET /h#ealthz HTTP/1.1\r\nHost: a\r\n\r\n")  # found: h11 has the fragment in it
EXAMPLES = st.builds(
    lambda at, lines: b"%d\n%s" % (at, b"".join(lines)), st.integers(0, 120), st.lists(LINES, max_size=9)
)

CONNECTION = Target(check_connection, lambda: SEEDS, EXAMPLES)
