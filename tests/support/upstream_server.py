"""Upstreams that misbehave, on real sockets: each connection does what a script says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pydantic import SecretStr

from config.settings import Settings
from worker.upstream.accounts import Account
from worker.upstream.client import UpstreamClient

PUBLIC, SECRET = "https://darkroom.example", "x" * 32
Script = Callable[["Connection"], Awaitable[None]]


class Connection:
    """One connection to the server, in the hands of a script."""

    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def request(self) -> None:
        """Reads one whole request and notes it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        self.server.requests.append((head, await self.reader.readexactly(length)))

    async def send(self, answer: bytes) -> None:
        """Sends these bytes as they are."""
        self.writer.write(answer)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends the connection with an RST."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Does nothing until the other side has gone."""
        await self.reader.read()


class Server:
    """A server that follows a script on every connection, and counts."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    """A server on a free port for the length of a test."""
    server = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            await script(Connection(server, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone, as some tests want
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/canary-path"
    async with listening:
        yield server


def at(url: str) -> Account:
    """The account at such a server."""
    return Account("key-0", url, "canary-key")


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A whole HTTP answer."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


def answering(raw: bytes) -> Script:
    """Reads a request, sends these bytes, closes."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(raw)

    return script


async def refuse(connection: Connection) -> None:
    await connection.request()


async def reset_after_request(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def reset_at_once(connection: Connection) -> None:
    connection.reset()


async def never_answer(connection: Connection) -> None:
    await connection.request()
    await connection.hang()


async def drip(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not connection.writer.is_closing():
        await connection.send(b"x")
        await asyncio.sleep(0.05)


async def flood(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(70):
        await connection.send(bytes(2**20))


@asynccontextmanager
async def client(
    *, allow_private: bool = True, seconds: float = 5, connect_seconds: float = 2
) -> AsyncIterator[UpstreamClient]:
    """A client with short timeouts."""
    settings = Settings(
        _env_file=None,
        allow_private_addresses=allow_private,
        public_url=PUBLIC,
        secret=SecretStr(SECRET),
        upstream_timeout_seconds=seconds,
        upstream_connect_timeout_seconds=connect_seconds,
    )
    opened = UpstreamClient(settings)
    try:
        yield opened
    finally:
        await opened.aclose()
