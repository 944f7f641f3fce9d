"""A connection's bytes on their way to requests: fed in small pieces, and counted as they come.

httptools keeps whatever comes, joins what comes in parts, and tells nothing until a field is whole. So what is bounded
here is what the parser makes of the bytes, and how many of them it swallows without a word.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.guard import bounds
from api.guard.crowd import Crowd
from api.guard.head import body_length, check_head, check_upgrade
from api.guard.holding import Holding
from api.guard.refusals import Refused


class CountedRequests(HttpToolsProtocol):
    """Raises Refused, through the parser, where a request is more than `bounds` says."""

    _holding: Holding

    def __init__(
        self,
        crowd: Crowd,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self._crowd = crowd
        self._running: RequestResponseCycle | None = None
        self._whole = self._in_head = self._heard = self._feeding = self._finishing = False
        self._fields = self._hosts = self._head_bytes = self._silent_bytes = self._thrown_bytes = 0

    def _feed_in_pieces(self, data: bytes) -> None:
        if len(data) <= bounds.PIECE_BYTES:
            self._feed(data)
            return
        view = memoryview(data)
        for start in range(0, len(data), bounds.PIECE_BYTES):
            self._feed(view[start : start + bounds.PIECE_BYTES])

    def _feed(self, piece: bytes | memoryview) -> None:
        if self._finishing:
            self._throw_away(len(piece))
            return
        self._heard, self._feeding = False, True
        try:
            self.parser.feed_data(piece)
        finally:
            self._feeding = False
        self._silent_bytes = 0 if self._heard else self._silent_bytes + len(piece)
        if self._silent_bytes > bounds.FIELD_BYTES:
            raise _head_too_large()
        if self._in_head:
            self._holding.add_head(len(piece))
            self._refuse_if_finishing()

    def _refuse_if_finishing(self) -> None:
        if self._finishing:  # to make room for others, this one was the oldest
            raise Refused("unavailable", "held", "")

    def _throw_away(self, size: int) -> None:
        self._thrown_bytes += size
        if self._thrown_bytes > bounds.LINGER_BYTES:
            self.flow.pause_reading()  # until the end, which is near

    def on_message_begin(self) -> None:
        self._in_head, self._heard, self._whole = True, True, False
        self._fields = self._head_bytes = self._hosts = 0
        super().on_message_begin()
        self.scope["hang_up"] = self.transport.close  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > bounds.ADDRESS_BYTES:
            raise Refused("address_too_long", "address", f"An address has at most {bounds.ADDRESS_BYTES} bytes.")
        if b"#" in url:  # the parser leaves it out with what follows, a proxy before us may not
            raise Refused("bad_request", "fragment", "An address is asked for without its fragment.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heard = True
        self._fields += 1
        self._head_bytes += len(name) + len(value)
        if self._fields > bounds.FIELDS or self._head_bytes > bounds.HEAD_BYTES:
            raise _head_too_large()
        if self._in_head:  # a trailer comes behind what was decided by the headers: it is none of them
            name = name.lower()
            if name == b"host":
                self._hosts += 1
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_head, self._heard = False, True
        self._fields = self._head_bytes = 0
        self._holding.release_head()
        check_head(self.parser.get_http_version(), self._hosts)
        if self.parser.should_upgrade():
            check_upgrade(self.headers)
        if len(self.pipeline) >= bounds.PIPELINED:
            raise Refused("bad_request", "pipeline", "Too many requests are sent ahead of their answers.")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._heard = True
        super().on_body(body)
        if not self.cycle.response_complete:
            is_asked_for = len(self.cycle.body) <= bounds.SMALL_BYTES  # what is read is taken away there
            self._holding.add_body(self.cycle, len(body), is_asked_for=is_asked_for)
            self._refuse_if_finishing()

    def on_message_complete(self) -> None:
        self._whole = self._heard = True
        super().on_message_complete()

    def _much_is_still_coming(self) -> bool:
        """Whether more of an answered request's body is on its way than is worth reading."""
        if self._running is not self.cycle or not self.cycle.more_body:
            return False
        length = body_length(self.headers)
        return length is None or length > bounds.SMALL_BYTES or self.expect_100_continue


def _head_too_large() -> Refused:
    detail = f"All header fields together have at most {bounds.HEAD_BYTES} bytes, and are at most {bounds.FIELDS}."
    return Refused("head_too_large", "head", detail)
