"""What this process believes of the clock that all share (lua/includes/clock.lua), between one answer and the next."""

import time

DRIFT = 0.03
"""How much slower than ours that clock may run: what an answer once proved is worth a little less each second."""
STEP_MS = 2000
"""A clock that is wrong by less is believed without a word."""
# a machine that was suspended knows it by this one; the usual steady clock stands still meanwhile
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

Milliseconds = int


def steady_ms() -> Milliseconds:
    """Milliseconds of a clock that nobody sets."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


class SharedClock:
    """The offset of Redis' clock to this machine's steady one; this machine's time of day until Redis has told."""

    def __init__(self, redis_now: Milliseconds | None = None) -> None:
        self._learned_at = steady_ms()
        self._offset = float((int(time.time() * 1000) if redis_now is None else redis_now) - self._learned_at)
        self.told = redis_now is not None

    def now(self) -> Milliseconds:
        """Milliseconds since 1970, as the next script would say."""
        return self.at(steady_ms())

    def at(self, steady: Milliseconds) -> Milliseconds:
        """What it showed, or will show, at that moment of our own."""
        return int(steady + self._offset)

    def learn(self, redis_now: Milliseconds) -> None:
        """Takes the time in an answer that has just come.

        The answer that was quickest tells best: going back by every answer's delay would let a later job seem older.
        """
        now = steady_ms()
        least = self._offset - DRIFT * (now - self._learned_at) if self.told else redis_now - now
        self._offset, self._learned_at, self.told = max(redis_now - now, least), now, True

    def set(self, redis_now: Milliseconds) -> None:
        """Takes it as it is: what was believed was wrong."""
        now = steady_ms()
        self._offset, self._learned_at, self.told = float(redis_now - now), now, True

    def doubt(self) -> Milliseconds:
        """By how much it may be wrong, after so long without an answer, before the clock must have been set."""
        return STEP_MS + int(DRIFT * (steady_ms() - self._learned_at))

    def contradicts(self, redis_now: Milliseconds) -> bool:
        """Whether a time in an answer that came quickly can only mean that a clock was set, or stood still."""
        return self.told and abs(redis_now - self.now()) > self.doubt()
