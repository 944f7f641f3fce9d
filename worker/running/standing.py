"""Whether a worker process stands still, and what follows. Pure; self_check.py looks and acts."""

from enum import Enum
from typing import NamedTuple

from config.settings import Settings

MOST_LEAVE_SECONDS = 10.0
FULL_SECONDS = 900.0
"""How long all places of the pool may be taken without the end of one task; every task has shorter limits."""
TAKES_SECONDS = 3.0
"""A consumer that waits for messages looks once a second."""
STOP_MARGIN_SECONDS = 15.0


class Standing(NamedTuple):
    """What is seen of the process; all in seconds, and none longer than it was awake."""

    stopping: float | None
    """Since it was told to stop, or decided to; None: it was not."""
    idle: float
    """Since the last task ended; 0 while one is in flight."""
    orphaned: bool
    loop_silent: float
    consumer_silent: float
    """Since the consumer last looked at its queue, or had no room to do so."""
    full: float
    """Since a task began or ended, while there is room for none; else 0."""
    redis_answers: float
    """For how long Redis has answered us all the time."""

    @property
    def takes_messages(self) -> bool:
        """Whether its consumer is at work: it waits for messages, or has no room because its tasks take their time."""
        return self.stopping is None and self.consumer_silent < TAKES_SECONDS and self.full < FULL_SECONDS


class Limits(NamedTuple):
    """In seconds."""

    stuck: float
    """How long the process may stand still."""
    orphan: float
    """How long a process without a parent may wait for its tasks: longer than a POST and its record take."""
    leave: float
    """How long it may take to stop when no task is in flight any more."""


class Verdict(Enum):
    """What follows. The value is the reason for the log."""

    WELL = "well"
    ORPHANED = "its parent process is gone"
    CONSUMER_STUCK = "it takes no messages, although Redis answers"
    POOL_STUCK = "all its places are taken, and no task ends"
    LOOP_STUCK = "its event loop stands still"
    DOES_NOT_LEAVE = "it was told to stop, and did not"


ENDS_AT_ONCE = frozenset({Verdict.LOOP_STUCK, Verdict.DOES_NOT_LEAVE})
"""Nothing that runs is waited for; all others are told to stop."""


def limits_of(settings: Settings) -> Limits:
    """The limits of an installation."""
    longest_post = settings.upstream_connect_timeout_seconds + settings.upstream_timeout_seconds
    leave = min(MOST_LEAVE_SECONDS, settings.stuck_seconds / 2)
    return Limits(settings.stuck_seconds, longest_post + STOP_MARGIN_SECONDS, leave)


def judge(seen: Standing, limits: Limits) -> Verdict:
    """What follows from what is seen."""
    if seen.loop_silent >= limits.stuck:
        return Verdict.LOOP_STUCK
    if seen.stopping is not None:
        # whoever told it to stop decides how long it may wait for its tasks; of an orphan nobody takes care
        longest = limits.orphan if seen.orphaned else FULL_SECONDS
        leaves_late = min(seen.stopping, seen.idle) >= limits.leave or seen.stopping >= longest
        return Verdict.DOES_NOT_LEAVE if leaves_late else Verdict.WELL
    if seen.orphaned:
        return Verdict.ORPHANED
    if seen.full >= FULL_SECONDS:
        return Verdict.POOL_STUCK
    # while Redis was away Celery waits up to half a minute before it connects again
    if min(seen.consumer_silent, seen.redis_answers) >= limits.stuck:
        return Verdict.CONSUMER_STUCK
    return Verdict.WELL
