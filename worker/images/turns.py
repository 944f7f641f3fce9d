"""Turns at something that there is little of, fair between tenants: the last free place is never given to who holds all
the others, and those that wait are served tenant by tenant.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """So many at once, and of one tenant one fewer, so that another one never waits for all of its to end."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._most_each = max(1, places - 1)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By tenant, the one whose turn is next first."""

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Waits for a turn and holds it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came in the moment in which nobody wanted it any more
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
        while self._free and (tenant := self._next()) is not None:
            turns = self._waiting.pop(tenant)
            turn = turns.popleft()
            if turns:
                self._waiting[tenant] = turns  # behind the others
            if not turn.done():
                self._free -= 1
                self._held[tenant] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        return next((tenant for tenant in self._waiting if self._held[tenant] < self._most_each), None)
