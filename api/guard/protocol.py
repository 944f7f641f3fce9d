"""One connection: uvicorn's protocol on httptools, with a bound on everything that its client can make it keep.

What is too much ends the connection: with a problem, or without one behind the answers that are still due. An answer
that is not read is told to the crowd, and so is how long a connection has waited for its client.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.guard import bounds
from api.guard.counting import CountedRequests
from api.guard.holding import Holding
from api.guard.outlet import Outlet
from api.guard.refusals import Refused, refusal_bytes


class GuardedProtocol(CountedRequests):
    """A connection that costs no more than `bounds` says."""

    _due: asyncio.TimerHandle | None = None

    # what the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # it writes at once what it can: what is left is what nobody takes
        self._holding = Holding(self._crowd, self)
        self._outlet = Outlet(transport, self.finish)
        self.address = self.client[0] if self.client else ""
        self._expect()
        self._crowd.joined(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._whole = False
        try:
            self._feed_in_pieces(data)
        except Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserUpgrade:  # what follows would be read as another request
            self._end_behind_answers()
        except httptools.HttpParserError as error:
            cause = error.__context__
            garbage = Refused("bad_request", "garbage", "This is not an HTTP/1.1 request.")
            self._refuse(cause if isinstance(cause, Refused) else garbage)
        if not self._finishing:
            self._note_whether_whole()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._crowd.unread(self, self.unread_bytes())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._crowd.taken(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._abandon()
        self._crowd.left(self)
        super().connection_lost(exc)

    # what uvicorn calls

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = self._outlet  # type: ignore[assignment]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._outlet.end()
        self._holding.release_body(self._running)
        if not self._finishing and self._much_is_still_coming():
            self.finish()
        if self._finishing and not self.pipeline:
            self._forget_request()
            return
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # these first
        elif not self._is_answering():
            self._crowd.waits(self)
            if self._whole:
                self._forget_request()

    # what the crowd calls

    def unread_bytes(self) -> int:
        """What of the answers has not been taken."""
        return self.transport.get_write_buffer_size()

    def refuse(self, code: str, reason: str, detail: str) -> None:
        """Ends the connection with that problem; behind the answers that are due, without it."""
        if self._finishing:
            return
        self._crowd.tally.count(reason)
        if self._is_answering() and not self._is_arriving():
            self._end_behind_answers()
            return
        self._abandon()
        self.transport.write(refusal_bytes(code, detail))
        self._whole = False
        self.finish()
        self._forget_request()

    def drop(self, reason: str) -> None:
        """Ends the connection at once."""
        self._crowd.tally.count(reason)
        self._finishing = True
        self._abandon()
        self.transport.abort()

    def finish(self) -> None:
        """Ends the connection behind what was written; what is still coming is thrown away for a moment."""
        self._finishing = True
        self._outlet.end()
        self._crowd.whole(self)
        self._forget()
        if self._whole or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._due = self.loop.call_later(bounds.LINGER_SECONDS, self.transport.close)

    # where a request stands

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self._running is not None and not self._running.response_complete)

    def _is_arriving(self) -> bool:
        """Whether the only request that is not answered is one that is not whole, so that a refusal can answer it."""
        running = self._running
        return running is self.cycle and running is not None and running.more_body and not running.response_started

    # steps of the above

    def _refuse(self, refused: Refused) -> None:
        self.refuse(refused.code, refused.reason, refused.detail)

    def _end_behind_answers(self) -> None:
        self._finishing = True
        if self.pipeline and self.pipeline[0][0].more_body:  # it will never be whole
            self._holding.release_body(self.pipeline.popleft()[0])
        last = self.pipeline[0][0] if self.pipeline else self._running
        if last is None or last.response_complete:
            self.finish()
        else:
            last.keep_alive = False

    def _abandon(self) -> None:
        """Nobody is there for the answers: what makes them is told so, and writes nothing any more."""
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle and not cycle.response_complete:
                cycle.disconnected, cycle.body = True, bytearray()
                cycle.message_event.set()
        self.pipeline.clear()
        self._holding.release()
        self._crowd.whole(self)
        self._crowd.taken(self)

    def _note_whether_whole(self) -> None:
        if self._whole:
            self._forget()
            self._holding.whole()
            self._crowd.whole(self)
            return
        if self._due is None:
            self._expect()
            self._crowd.waits(self)
        try:
            self._holding.begin()
        except Refused as refused:
            self._refuse(refused)

    def _forget_request(self) -> None:
        """A connection keeps nothing of what it has answered: idle, it costs half."""
        self._running = self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        if self._finishing and not self._feeding:
            self.parser = None  # type: ignore[assignment]

    def _expect(self) -> None:
        self._due = self.loop.call_later(bounds.REQUEST_SECONDS, self._overdue)

    def _forget(self) -> None:
        if self._due:
            self._due.cancel()
        self._due = None

    def _overdue(self) -> None:
        # what came behind a request that is being answered is read once it has its answer
        if self._is_answering() and not self._is_arriving():
            self._expect()
        else:
            self.transport.close()
