"""uvicorn, with what it lacks: a time by which a request must be whole, and an end that nobody's waiting holds up.

Without the first, connections that never finish a request use up all file descriptors, and need no key for it.
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
    """Closes a connection whose request, from its first byte or from the connection's start, takes too long to come."""

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
        # what came behind a request that is being answered is read once it has its answer
        answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if answering or self.pipeline:
            self._expect()
        else:
            self.transport.close()


class GracefulServer(uvicorn.Server):
    """Ends streams and waits as soon as it is to stop: their clients come back, to another process or to the next."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("dict[str, Watch]", self.lifespan.state)["watch"].end()
        await super().shutdown(sockets)


def raise_descriptor_limit() -> None:
    """Takes as many file descriptors as the system lets: the usual soft limit of 1,024 is few connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
