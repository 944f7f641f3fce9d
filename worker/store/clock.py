"""This process's estimate of Redis' clock (lua/includes/clock.lua) between one answer and the next."""

import time

DRIFT = 0.03
"""How much slower than ours Redis' clock may run; an old answer proves a little less each second."""
STEP_MS = 2000
"""A smaller difference is accepted silently."""
# this clock also runs while the machine is suspended; the usual monotonic clock does not
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

Milliseconds = int


def steady_ms() -> Milliseconds:
    """Milliseconds of a monotonic clock."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


class SharedClock:
    """The offset of Redis' clock to this machine's monotonic one; before the first answer, the time of day."""

    def __init__(self, redis_now: Milliseconds | None = None) -> None:
        self._learned_at = steady_ms()
        self._offset = float((int(time.time() * 1000) if redis_now is None else redis_now) - self._learned_at)
        self.told = redis_now is not None

    def now(self) -> Milliseconds:
        """Milliseconds since 1970, as the next script would see it."""
        return self.at(steady_ms())

    def at(self, steady: Milliseconds) -> Milliseconds:
        """What Redis' clock shows at that moment of the monotonic clock (ms since 1970)."""
        return int(steady + self._offset)

    def learn(self, redis_now: Milliseconds) -> None:
        """Learns from the time in an answer that has just come.

        The quickest answer is the most exact one. Going back by each answer's delay would make a later job seem older.
        """
        now = steady_ms()
        least = self._offset - DRIFT * (now - self._learned_at) if self.told else redis_now - now
        self._offset, self._learned_at, self.told = max(redis_now - now, least), now, True

    def set(self, redis_now: Milliseconds) -> None:
        """Takes this time as it is: the estimate was wrong."""
        now = steady_ms()
        self._offset, self._learned_at, self.told = float(redis_now - now), now, True

    def doubt(self) -> Milliseconds:
        """The largest error (ms) of the estimate after so long without an answer; more means that the clock was set."""
        return STEP_MS + int(DRIFT * (steady_ms() - self._learned_at))

    def contradicts(self, redis_now: Milliseconds) -> bool:
        """Whether the time in a quick answer can only mean that a clock was set, or stood still."""
        return self.told and abs(redis_now - self.now()) > self.doubt()
