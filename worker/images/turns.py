"""A semaphore that is fair between tenants by the time for which they hold a place, not by how often they come.

Who has used least is served first. Use is forgotten by half every `HALF_LIFE_SECONDS`. Tenants that use much leave one
place free, all of them together. So images that decode slowly cost a tenant with few quick ones at most one longest
turn, however many tenants send them, and mostly nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HALF_LIFE_SECONDS = 60.0
LITTLE_SECONDS = 1.0
"""A tenant that has used so little lately may have the last free place; about what 50 usual images take."""
LITTLE_SHARE = 0.5
"""So may one that has used no more than this share of what a tenant uses on average."""
FORGOTTEN_SECONDS = 0.001

Turn = asyncio.Future[None]


@dataclass
class Use:
    """What one tenant uses: seconds in places, less what was forgotten until `at` (by the clock), and its turns."""

    at: float
    seconds: float = 0.0
    held: int = 0
    waiting: deque[Turn] = field(default_factory=deque)

    def until(self, now: float) -> float:
        """The seconds until now, those of running turns included."""
        passed = now - self.at
        kept = 0.5 ** (passed / HALF_LIFE_SECONDS)
        self.at, self.seconds = now, self.seconds * kept + self.held * passed
        return self.seconds


class Turns:
    """`places` at the same time; of one tenant one fewer, and of all that use much together one fewer."""

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = places
        self._most = max(1, places - 1)
        self._uses: dict[str, Use] = {}
        """By tenant: everybody who waits, holds a place, or has used one lately."""

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Waits for a turn, and holds it until the block ends."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._uses.setdefault(tenant, Use(self._clock())).waiting.append(turn)
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
        use = self._uses[tenant]
        use.until(self._clock())
        use.held -= 1
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        now = self._clock()
        self._forget(now)
        while self._free and (use := self._next(now)):
            turn = use.waiting.popleft()
            if not turn.done():
                self._free -= 1
                use.held += 1
                turn.set_result(None)

    def _next(self, now: float) -> Use | None:
        """Of those that may have a place now, the one that has used least; who came first among equals."""
        seconds = [use.until(now) for use in self._uses.values()]
        little = max(LITTLE_SECONDS, LITTLE_SHARE * sum(seconds) / max(1, len(seconds)))
        by_much = sum(use.held for use in self._uses.values() if use.seconds > little)
        allowed = (
            use
            for use in self._uses.values()
            if use.waiting and use.held < self._most and (use.seconds <= little or by_much < self._most)
        )
        return min(allowed, key=lambda use: use.seconds, default=None)

    def _forget(self, now: float) -> None:
        for tenant, use in list(self._uses.items()):
            if not use.held and not use.waiting and use.until(now) < FORGOTTEN_SECONDS:
                del self._uses[tenant]
