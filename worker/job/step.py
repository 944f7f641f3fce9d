"""A step: one write to a record, as a value. Made by decisions.py, written by lua/advance.lua. Pure."""

from dataclasses import dataclass
from typing import Literal

from worker.job.record import Job, Milliseconds
from worker.job.timing import Durations, next_look


@dataclass(frozen=True, slots=True)
class KeyNews:
    """What an attempt has shown about its upstream account; lua/includes/governor.lua uses it. `pause` is in ms.

    ok: it works; heard: a result came from it; busy: its queue is full; shaky: an answer proved nothing; refused:
    it refuses us, or only this request; down: it is down, whatever the request.
    """

    kind: Literal["ok", "heard", "busy", "shaky", "refused", "down"]
    upstream: str
    pause: Milliseconds = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One write: the next version of the record, and what else the same transaction changes."""

    job: Job
    cause: str
    due_in: Milliseconds | None
    """Milliseconds until the job is due again; None: nothing is left to do."""
    collects: bool = False
    frees_place: bool = False
    """Frees the place: the upstream's part is over, or never began. A place not freed here, because nobody knows
    about the POST, is freed after a while anyway (lua/includes/queue.lua)."""
    buys_again: bool = False
    """The request may have been bought already and is sent again: only if the tenant's budget has room."""
    key_news: KeyNews | None = None


def recorded(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """Something noted on the record without a change of status."""
    noted = job.moved(job.status, now)
    return Step(noted, cause, next_look(noted, now, durations))


def look_again(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    tried = job.moved(job.status, now, tries=job.tries + 1)
    return Step(tried, cause, next_look(tried, now, durations))
