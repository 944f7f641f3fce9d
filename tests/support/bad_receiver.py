"""A caller's webhook receiver that does harm, or not, by the path: one address on loopback, hundreds of connections.

`/hang…` is never answered. `/drip…` is answered one byte a second. `/endless…` has a body without an end. Everything
else is answered at once, and kept: webhook id → when it came, in seconds (monotonic).
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.running.loop import LoopThread

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n"


class BadReceiver:
    """Serves; see the module."""

    def __init__(self) -> None:
        self.port = 0
        self.told: dict[str, float] = {}
        self.harmed = 0
        """Requests to a path that does harm."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, the end of the connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n") if ": " in line)
            names = {name.lower(): value for name, value in fields.items()}
            await reader.readexactly(int(names["content-length"]))  # closed with bytes unread, the answer is lost
            await self._answer(head.split(" ")[1], names["webhook-id"], writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, path: str, delivery: str, writer: asyncio.StreamWriter) -> None:
        self.harmed += path.startswith(("/hang", "/drip", "/endless"))
        if path.startswith("/hang"):
            await asyncio.sleep(3600)
        if path.startswith(("/drip", "/endless")):
            await self._feed(writer, b"x" if path.startswith("/drip") else b"x" * 65_536)
        self.told[delivery] = time.monotonic()
        writer.write(HEAD + b"content-length: 0\r\n\r\n")
        await writer.drain()

    async def _feed(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(1 if len(piece) == 1 else 0)


@contextmanager
def bad_receiver() -> Iterator[BadReceiver]:
    """One that listens, on a loop in a thread of its own."""
    made, loop = BadReceiver(), LoopThread()
    loop.start()
    listening = loop.run(asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=1024))
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    loop.run(_over(listening))
    loop.stop()


async def _over(listening: asyncio.Server) -> None:
    """Ends what still hangs: a loop that is closed under open connections complains."""
    listening.close()
    handlers = asyncio.all_tasks() - {asyncio.current_task()}
    for each in handlers:
        each.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)
