"""How often callbacks are heard in the name of one job: a token may have leaked, and costs others no more than none.

It is checked before the body is read. The provider sends a few callbacks for a job, and repeats one that is refused.
"""

import time

BURST, A_SECOND = 40, 1.0
MOST_JOBS = 10_000
"""Jobs that are remembered; beyond that the one that was heard of longest ago is forgotten."""


class CallbackRate:
    """A rate limit for each job (GCRA, a leaky bucket), in this process alone."""

    def __init__(self) -> None:
        self._used_up_at: dict[str, float] = {}
        """Job id → when its callbacks so far would have passed evenly; the job heard of last is last."""

    def admits(self, job_id: str) -> bool:
        """Whether one more callback of that job is heard now."""
        now = time.monotonic()
        used_up_at = max(now, self._used_up_at.pop(job_id, now))
        has_room = used_up_at - now <= (BURST - 1) / A_SECOND
        self._used_up_at[job_id] = used_up_at + 1 / A_SECOND if has_room else used_up_at
        if len(self._used_up_at) > MOST_JOBS:
            del self._used_up_at[next(iter(self._used_up_at))]
        return has_room
