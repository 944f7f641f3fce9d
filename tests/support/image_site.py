"""A small web server of images, and the product's own client that fetches from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import Settings
from worker.images.download import ImageSource

IMAGE = bytes(range(256)) * 400
MOST_BYTES = 200_000


class Site:
    """A small web server: raw answers by path, and who asked for what."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one raw answer, the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            self.asked.append(path)
            self.heads.append(head)
            writer.write(self.answers.get(path, answer(b"not found", "404 Not Found")))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has gone, as some tests want
        finally:
            writer.close()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a free port."""
    made = Site()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield made


@asynccontextmanager
async def source(**settings: object) -> AsyncIterator[ImageSource]:
    """An image source for development, unless told otherwise."""
    chosen = {"allow_private_addresses": True, "image_max_bytes": MOST_BYTES, "image_hosts": "127.0.0.1"} | settings
    made = ImageSource(Settings(_env_file=None, **chosen))
    try:
        yield made
    finally:
        await made.aclose()


def answer(body: bytes, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` is what it promises."""
    promised = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\ncontent-length: {promised}\r\n{headers}\r\n".encode() + body


def moved(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return answer(b"", status, f"location: {location}\r\n")
