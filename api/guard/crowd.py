"""All connections of the process together: how many there are, what they hold, and which goes when it is too much.

Whoever waits longest for its own client goes first: an honest request is whole within milliseconds, so that it stays
where slow ones by the thousand are pushed out by one another.
"""

import asyncio
import time
from collections import Counter
from typing import Protocol

from api.guard import bounds
from api.guard.tally import Tally


class Connection(Protocol):
    """What a crowd asks of a connection."""

    address: str

    def unread_bytes(self) -> int:
        """What of its answers has not been taken by its client."""

    def refuse(self, code: str, reason: str, detail: str) -> None:
        """Ends it with that problem, if nothing else is being answered."""

    def drop(self, reason: str) -> None:
        """Ends it at once."""


class Crowd:
    """The connections of one process, and their sums."""

    def __init__(self, most: int, most_per_address: int = 0) -> None:
        self._most, self._most_per_address = most, most_per_address
        self.tally = Tally()
        self._all: set[Connection] = set()
        self._of_address: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}
        self._arriving: dict[Connection, None] = {}
        self._unread: dict[Connection, tuple[int, float]] = {}
        self._held = self._held_big = self._unread_bytes = 0
        self._ticking: asyncio.TimerHandle | None = None

    def joined(self, connection: Connection) -> None:
        """A new one; where there are too many, the one that has waited longest for its client goes."""
        self._all.add(connection)
        self._of_address[connection.address] += 1
        self._idle[connection] = None
        self._tick_later()
        if self._most_per_address and self._of_address[connection.address] > self._most_per_address:
            connection.refuse("too_many_connections", "address", "Too many connections are open from your address.")
        elif len(self._all) > self._most:
            oldest = next(iter(self._idle))
            if oldest is connection:
                connection.refuse("too_many_connections", "connections", "Too many connections are open.")
            else:
                oldest.drop("idle_for_others")

    def left(self, connection: Connection) -> None:
        """It has ended."""
        self.whole(connection)
        self.taken(connection)
        self._all.discard(connection)
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]

    def waits(self, connection: Connection) -> None:
        """It waits for its client's next bytes from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = None

    def whole(self, connection: Connection) -> None:
        """Its request is whole: it waits for us."""
        self._idle.pop(connection, None)
        self._arriving.pop(connection, None)

    def arriving(self, connection: Connection) -> None:
        """It holds something of a request that is not whole."""
        self._arriving[connection] = None

    def hold(self, more: int, big: int) -> bool:
        """Adds to what is held (or takes away); False where it is too much and nobody else is there to go."""
        self._held += more
        self._held_big += big
        while (more > 0 and self._held > bounds.HELD_BYTES) or (big > 0 and self._held_big > bounds.HELD_BIG_BYTES):
            if not self._arriving:
                return False
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            oldest.refuse("unavailable", "held", "Too much is being sent at once.")
        return True

    def unread(self, connection: Connection, size: int) -> None:
        """So many bytes of its answer lie there from now on."""
        self.taken(connection)
        self._unread[connection] = (size, time.monotonic())
        self._unread_bytes += size
        while self._unread_bytes > bounds.UNREAD_BYTES:
            next(iter(self._unread)).drop("unread")

    def taken(self, connection: Connection) -> None:
        """Its client has taken everything, or is gone."""
        if kept := self._unread.pop(connection, None):
            self._unread_bytes -= kept[0]

    def tick(self) -> None:
        """Looks at the unread answers: what moved is put behind, what has not for too long is dropped."""
        now = time.monotonic()
        for connection, (size, since) in list(self._unread.items()):
            left = connection.unread_bytes()
            if left < size:
                self.unread(connection, left)
            elif now - since > bounds.UNREAD_SECONDS:
                connection.drop("unread")
        self.tally.tell()

    def _tick_later(self) -> None:
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(bounds.TICK_SECONDS, self._tick_and_again)

    def _tick_and_again(self) -> None:
        self._ticking = None
        self.tick()
        if self._all or self.tally.has_more:
            self._tick_later()
