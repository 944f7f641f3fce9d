"""A semaphore that is fair between tenants: no tenant holds all places, and those that wait take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`places` at the same time, and of one tenant one fewer, so that another tenant never waits for all of them."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._most_each = max(1, places - 1)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The waiting turns by tenant; the tenant that is served next stands first."""

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Waits for a turn, and holds it until the block ends."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given in the same moment in which the waiting task was cancelled
                self._give_back(tenant)
            raise
        try:
            yield
        finally:
            self._give_back(tenant)

    def _give_back(self, tenant: str) -> None:
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._hand_out()

    def _hand_out(self) -> None:
        while self._free:
            tenant = next((each for each in self._waiting if self._held[each] < self._most_each), None)
            if tenant is None:
                return
            turns = self._waiting.pop(tenant)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant] = turns  # behind the others
            if not turn.done():
                self._free -= 1
                self._held[tenant] += 1
                turn.set_result(None)
