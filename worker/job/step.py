"""A step: one write to a record, as a value. Built by decisions, applied by lua/advance.lua. Pure."""

from dataclasses import dataclass
from typing import Literal

from worker.job.record import Job, Milliseconds
from worker.job.timing import Durations, next_look


@dataclass(frozen=True, slots=True)
class KeyNews:
    """What an attempt taught about its upstream key.

    It works (ok), a result came from it (heard), its queue is full, it answers oddly, it is down.
    """

    kind: Literal["ok", "heard", "busy", "shaky", "down"]
    upstream: str
    pause: Milliseconds = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One write: the next version of the record and what follows from it in the same transaction."""

    job: Job
    cause: str
    due_in: Milliseconds | None
    """When somebody must look again; None: nothing is left to do."""
    collects: bool = False
    frees_place: bool = False
    """The upstream's part is over, or never began. A place that is kept beyond that, or while nobody knows what came of
    the POST, is given back by itself after a while (lua/includes/queue.lua)."""
    buys_again: bool = False
    """Sends once more what may have been bought: only where the tenant's budget has room for it."""
    key_news: KeyNews | None = None


def recorded(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """Kept on the record without a change of status."""
    noted = job.moved(job.status, now)
    return Step(noted, cause, next_look(noted, now, durations))


def look_again(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    tried = job.moved(job.status, now, tries=job.tries + 1)
    return Step(tried, cause, next_look(tried, now, durations))
