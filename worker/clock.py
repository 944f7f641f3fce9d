"""What this process believes of Redis' clock, between one answer and the next."""

import time

DRIFT = 0.03
"""How much slower than ours Redis' clock may run: what an answer once proved is worth a little less each second."""

Milliseconds = int


def steady_ms() -> Milliseconds:
    """Milliseconds of a clock that nobody sets."""
    return int(time.monotonic() * 1000)


class RedisClock:
    """The offset of Redis' clock to this machine's steady one; this machine's time of day until Redis has told."""

    def __init__(self) -> None:
        self._offset = float(time.time() * 1000 - steady_ms())
        self._learned_at = steady_ms()
        self.told = False

    def now(self) -> Milliseconds:
        """Milliseconds since 1970 by Redis' clock."""
        return self.at(steady_ms())

    def at(self, steady: Milliseconds) -> Milliseconds:
        """What Redis' clock showed, or will show, at that moment of our own."""
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
        self._offset, self._learned_at, self.told = float(redis_now - steady_ms()), steady_ms(), True
