"""How many bytes of images one process holds, from the first byte until they are stored: bounded, and shared.

Images come faster than they are decoded. While more than `most` bytes are in hand, a tenant that has its share of them
begins no other download; a tenant with less begins at once. What begins counts with a usual size at first. If images
turn out much larger, those of tenants beyond their share are given up, to be tried again.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MIB = 1024 * 1024
MOST_BYTES = 256 * MIB
USUAL_BYTES = 2 * MIB
"""What an image counts with before its bytes have come; a PNG of 1024×1024 has about 1.5 MB."""


class TooMuchInHand(Exception):
    """There is no room for more of this image now."""


class Hand:
    """One image: its tenant, and the bytes that are counted for it."""

    def __init__(self, all_of_them: "InHand", tenant: str) -> None:
        self._all, self.tenant, self.counted = all_of_them, tenant, USUAL_BYTES
        self._came = 0

    def take(self, size: int) -> None:
        """So many more bytes have come. Raises TooMuchInHand."""
        self._came += size
        if self._came > self.counted:
            self._all.grow(self, self._came - self.counted)


class InHand:
    """The images of one process, all tenants together."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._of_tenant: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[Hand]:
        """Waits for room to begin an image; it is in hand until the block ends."""
        await self._begin(tenant)
        hand = Hand(self, tenant)
        try:
            yield hand
        finally:
            self._give_back(tenant, hand.counted)

    async def _begin(self, tenant: str) -> None:
        if self._may_begin(tenant):
            self._of_tenant[tenant] += USUAL_BYTES
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was counted in the moment in which its task was cancelled
                self._give_back(tenant, USUAL_BYTES)
            raise

    def grow(self, hand: Hand, by: int) -> None:
        """Counts more bytes for an image. Raises TooMuchInHand: beyond twice the room, a share is the limit."""
        if self._of_tenant.total() + by > 2 * self._most and self._has_its_share(hand.tenant):
            raise TooMuchInHand
        hand.counted += by
        self._of_tenant[hand.tenant] += by

    def _may_begin(self, tenant: str) -> bool:
        return self._of_tenant.total() < self._most or not self._has_its_share(tenant)

    def _has_its_share(self, tenant: str) -> bool:
        here = len(self._of_tenant.keys() | {tenant})
        return self._of_tenant[tenant] >= self._most // here

    def _give_back(self, tenant: str, size: int) -> None:
        self._of_tenant[tenant] -= size
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        waiting, self._waiting = self._waiting, deque()
        for each, turn in waiting:
            if turn.done():  # it has given up
                continue
            if self._may_begin(each):
                self._of_tenant[each] += USUAL_BYTES
                turn.set_result(None)
            else:
                self._waiting.append((each, turn))
