"""uvicorn with two additions: a time-out for receiving a request, and a stop that waits for no long-running stream.

Without the time-out, connections that never finish a request could use up all file descriptors, without any key.
"""

import asyncio
import resource
import socket
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.watch import Watch

REQUEST_SECONDS = 10.0
MOST_DESCRIPTORS = 1_048_576


class RequestTimeoutProtocol(HttpToolsProtocol):
    """Closes a connection whose request, or whose first byte, takes too long to arrive."""

    _due: asyncio.TimerHandle | None = None
    _whole = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._whole = False
        super().data_received(data)
        if self._whole:
            self._forget()
        elif self._due is None:
            self._expect()

    def on_message_begin(self) -> None:
        self._whole = False
        super().on_message_begin()
        self.scope["hang_up"] = self.transport.close  # type: ignore[typeddict-unknown-key]

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._due = self.loop.call_later(REQUEST_SECONDS, self._overdue)

    def _forget(self) -> None:
        if self._due:
            self._due.cancel()
        self._due = None

    def _overdue(self) -> None:
        # a pipelined request is read after the one before it was answered
        answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if answering or self.pipeline:
            self._expect()
        else:
            self.transport.close()


class GracefulServer(uvicorn.Server):
    """Ends event streams and waiting requests when it must stop; their clients connect again, to another process."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("dict[str, Watch]", self.lifespan.state)["watch"].end()
        await super().shutdown(sockets)


def raise_descriptor_limit() -> None:
    """Raises the soft limit of file descriptors to the hard limit: the usual 1,024 allow too few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
