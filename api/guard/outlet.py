"""A transport as the answers to requests see it: head and body leave together, and its end is the connection's."""

import asyncio
from collections.abc import Callable

CONTINUE = b"HTTP/1.1 100 "


class Outlet:
    """Holds a head back until there is something of its body, as ASGI asks for: one call to the system for both."""

    __slots__ = ("_begun", "_held", "_transport", "close", "is_closing")

    def __init__(self, transport: asyncio.Transport, finish: Callable[[], None]) -> None:
        self._transport = transport
        self._begun = False
        self._held: bytes | None = None
        self.is_closing = transport.is_closing
        self.close = finish

    def write(self, data: bytes) -> None:
        """Writes behind what is held; a head is held."""
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.writelines((held, data))
        elif self._begun or data.startswith(CONTINUE):
            self._transport.write(data)
        else:
            self._begun, self._held = True, data

    def end(self) -> None:
        """The answer is whole: writes a head that has no body, and waits for the next one."""
        held, self._held, self._begun = self._held, None, False
        if held is not None and not self._transport.is_closing():
            self._transport.write(held)
