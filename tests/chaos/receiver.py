"""The callers' receiver: one host and port, an address that answers and one that hangs. No framework: cheap."""

import asyncio
import json
import time
from collections import defaultdict


class Inbox:
    """What was told, by job: statuses in the order in which they came, and when the first one came."""

    def __init__(self) -> None:
        self.statuses: dict[str, list[str]] = defaultdict(list)
        self.first_at: dict[str, float] = {}
        self.hung = 0
        self.transports: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listens on a free port; returns the address before /told and /hang."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def take(self, body: bytes) -> None:
        """Notes one delivery."""
        job = json.loads(body)
        self.statuses[job["id"]].append(job["status"])
        self.first_at.setdefault(job["id"], time.monotonic())

    async def stop(self) -> None:
        """Stops listening; connections that hang are dropped."""
        if self._server:
            self._server.close()
        for transport in list(self.transports):
            transport.close()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, which is what our worker sends."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox, self._data = inbox, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inbox.transports.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._inbox.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, rest = self._data.partition(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            if len(rest) < length:
                return
            body, self._data = rest[:length], rest[length:]
            if b" /hang " in lines[0]:
                self._inbox.hung += 1
                return
            self._inbox.take(body)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")  # type: ignore[attr-defined]
