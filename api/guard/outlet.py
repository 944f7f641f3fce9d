"""A transport as the answer to a request sees it: head and body leave together, and its end is the connection's."""

import asyncio
from collections.abc import Callable


class Outlet:
    """Holds a head back until its body is there, or until the loop comes round: one call to the system for both."""

    __slots__ = ("_held", "_loop", "_transport", "close", "is_closing")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, finish: Callable[[], None]
    ) -> None:
        self._transport, self._loop = transport, loop
        self._held: bytes | None = None
        self.is_closing = transport.is_closing
        self.close = finish

    def write(self, data: bytes) -> None:
        """Writes behind what is held; what comes first is held."""
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._held = None
            self._transport.writelines((held, data))

    def flush(self) -> None:
        """Writes what is held."""
        held, self._held = self._held, None
        if held and not self._transport.is_closing():
            self._transport.write(held)
