"""The retry schedule of webhook deliveries: when to retry, and when to stop.

Source of the schedule and of disabling an endpoint: Svix, as the Standard Webhooks specification recommends.
"""

from dataclasses import dataclass
from typing import Any, Literal

from worker.job.record import Milliseconds

SCHEDULE_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""The pause before each try; ±20 %, so that retries do not all come at once after an outage (jitter)."""
LONGEST_RETRY_AFTER_SECONDS = 36_000
MOST_ROWS_KEPT = 50
"""Most rows of one delivery, so that it stays small however often it is replayed; `tries` counts all."""

HUNG = frozenset({"TimeoutError", "ReadTimeout", "WriteTimeout", "ConnectTimeout"})
"""Errors of a try whose receiver did not answer in time: such a try holds its place for the whole time-out."""
HELD_SECONDS = 2.5
"""A try without an answer that took so long hung too, whatever its error: a look-up of a name takes up to 3 s."""


@dataclass(frozen=True, slots=True)
class Try:
    """The result of one POST to a receiver."""

    status: int | None
    error: str | None
    answer: str
    seconds: float
    retry_after: float | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def kind(self) -> Literal["ok", "failed", "hung", "gone"]:
        """What the try says about the endpoint; `hung`: no answer came in time."""
        if self.status is None:
            return "hung" if self.error in HUNG or self.seconds >= HELD_SECONDS else "failed"
        return "ok" if self.delivered else "gone" if self.status == 410 else "failed"


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a try: the delivery's new state, and for `pending` the pause before the next try."""

    state: str
    pause_seconds: float | None = None


def after_try(tries: int, last: Try, chance: float) -> Next:
    """What follows after so many tries since the last replay. `chance` is 0 to 1, for the jitter."""
    if last.delivered:
        return Next("delivered")
    if last.status == 410:
        return Next("gone")
    if tries >= len(SCHEDULE_SECONDS):
        return Next("exhausted")
    pause = SCHEDULE_SECONDS[tries] * (0.8 + 0.4 * chance)
    if last.retry_after and last.status in (429, 503):
        pause = max(pause, min(last.retry_after, LONGEST_RETRY_AFTER_SECONDS))
    return Next("pending", pause)


def try_row(at: Milliseconds, last: Try, following: Next) -> dict[str, Any]:
    """The row of one try as it is stored; `at` and `next_at` are ms since 1970, `seconds` its duration."""
    ended = at + int(last.seconds * 1000)
    return {
        "at": at,
        "status": last.status,
        "error": last.error,
        "answer": last.answer,
        "seconds": last.seconds,
        "next_at": None if following.pause_seconds is None else ended + int(following.pause_seconds * 1000),
    }
