"""A semaphore that is fair between tenants by the time for which they hold a place, not by how often they come.

The next place goes to the tenant whose turns will have used least once its next one is over, judged by its earlier ones
(virtual finish time, as in fair queueing). Use is forgotten by half every `HALF_LIFE_SECONDS`. Tenants that use much
leave one place free, all of them together. So images that decode slowly cost a tenant with quick ones at most one
longest turn, however many tenants send them, and mostly nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HALF_LIFE_SECONDS = 60.0
LITTLE_SECONDS = 1.0
"""A tenant that uses so little may have the last free place; 50 usual images take about as long."""
LITTLE_SHARE = 0.5
"""So may one that uses no more than this share of what those that are here use on average."""
UNKNOWN_SECONDS = 2.0
"""What a tenant's first turn is taken for: it may be quick, but it may be the longest."""
FORGIVEN = 0.9
"""A tenant's turns are judged by the longest of the last ones; each quicker one takes a tenth off."""
FORGOTTEN_SECONDS = 3600.0

Turn = asyncio.Future[None]


@dataclass
class Use:
    """What one tenant uses: seconds in places, less what was forgotten until `at` (by the clock), and its turns."""

    at: float
    seconds: float = 0.0
    usual: float | None = None
    """How long its next turn will probably take; None: nothing is known of it."""
    held: int = 0
    waiting: deque[Turn] = field(default_factory=deque)

    @property
    def after_next(self) -> float:
        """Its seconds after one more turn."""
        return self.seconds + (UNKNOWN_SECONDS if self.usual is None else self.usual)

    def is_little(self, little: float) -> bool:
        """Whether it may have the last free place; also while nothing is known of it."""
        return self.seconds + (self.usual or 0.0) <= little

    def count(self, now: float) -> None:
        """Counts the seconds until now, those of running turns included."""
        passed = now - self.at
        kept = 0.5 ** (passed / HALF_LIFE_SECONDS)
        self.at, self.seconds = now, self.seconds * kept + self.held * passed

    def learn(self, seconds: float) -> None:
        """One turn took so long."""
        self.usual = max(seconds, FORGIVEN * (self.usual or 0.0))


class Turns:
    """`places` at the same time; of one tenant one fewer, and of all that use much together one fewer."""

    def __init__(self, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free = places
        self._most = max(1, places - 1)
        self._uses: dict[str, Use] = {}
        """By tenant: everybody who waits, holds a place, or held one within the last hour."""

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncIterator[None]:
        """Waits for a turn, and holds it until the block ends."""
        turn: Turn = asyncio.get_running_loop().create_future()
        use = self._uses.setdefault(tenant, Use(self._clock()))
        use.waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given in the same moment in which the waiting task was cancelled
                self._give_back(use)
            raise
        began = self._clock()
        try:
            yield
        finally:
            use.learn(self._clock() - began)
            self._give_back(use)

    def _give_back(self, use: Use) -> None:
        use.count(self._clock())
        use.held -= 1
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        here = self._present(self._clock())
        while self._free and (use := self._next(here)):
            turn = use.waiting.popleft()
            if not turn.done():
                self._free -= 1
                use.held += 1
                turn.set_result(None)

    def _present(self, now: float) -> list[Use]:
        """Those that wait or hold a place, with their seconds until now. Forgets those that were not here for long."""
        gone = [each for each, use in self._uses.items() if not use.held and now - use.at > FORGOTTEN_SECONDS]
        for tenant in gone:
            if not self._uses[tenant].waiting:
                del self._uses[tenant]
        here = [use for use in self._uses.values() if use.held or use.waiting]
        for use in here:
            use.count(now)
        return here

    def _next(self, here: list[Use]) -> Use | None:
        """Of those that may have a place now, the one that will have used least; who came first among equals."""
        little = max(LITTLE_SECONDS, LITTLE_SHARE * sum(use.seconds for use in here) / max(1, len(here)))
        by_much = sum(use.held for use in here if not use.is_little(little))
        allowed = (
            use
            for use in here
            if use.waiting and use.held < self._most and (use.is_little(little) or by_much < self._most)
        )
        return min(allowed, key=lambda use: use.after_next, default=None)
