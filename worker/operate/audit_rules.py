"""The rules of `darkroom audit`: what must be true of one record and of the indexes that name it.

The random sequences (tests/integration/test_state_machine.py) check the same rules after every event.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.job.cost import Cost, cost_of
from worker.job.ids import attempt_track_id
from worker.job.record import OPEN, Job, Milliseconds, Status

DEADLINE_MARGIN_MS = 30_000

Mend = Literal["look", "enqueue", "dequeue", "keep_place", "drop_place"]
"""Repairs that lua/mend.lua and the store can make without buying, losing or changing anything."""

FREED_AT_THE_END = frozenset({Status.SUCCEEDED, Status.FAILED})
"""Jobs in other ends, or with an attempt that the upstream may still have, keep their place for a while."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record, and what the indexes say about it at about the same moment."""

    job: Job
    timeline: Sequence[dict[str, Any]]
    booked: Cost
    """The images that are booked for it in its tenant's budget."""
    due: Milliseconds | None
    waits: bool
    """Whether it is in its tenant's backlog."""
    holds: frozenset[str]
    """Names of the upstream accounts at which it holds a place."""
    bytes: int = 0
    """What is counted for it in its tenant's bytes in Redis."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that is broken; `key` names the upstream account that it is about, if any."""

    rule: str
    mend: Mend | None = None
    key: str = ""


def broken(seen: Seen, now: Milliseconds) -> Iterator[Broken]:
    """Every rule that is broken by that record."""
    yield from _broken_times(seen, now)
    yield from _broken_places(seen, now)
    if seen.job.attempts and _posted_twice(seen):
        yield Broken("an attempt was posted twice")
    if seen.booked != cost_of(seen.job):
        yield Broken("what is booked for a job is not what it costs")


def _broken_times(seen: Seen, now: Milliseconds) -> Iterator[Broken]:
    job, deadline = seen.job, seen.job.order.deadline_at
    if job.status not in OPEN:
        return
    if now > deadline + DEADLINE_MARGIN_MS:
        yield Broken("past its deadline without an end", "look")
    if seen.due is None:
        yield Broken("open, but nobody will look at it", "look")
    elif now < deadline < seen.due:
        yield Broken("nobody will look at it before its deadline is over", "look")


def _broken_places(seen: Seen, now: Milliseconds) -> Iterator[Broken]:
    job = seen.job
    # one that waited until its deadline is on its way to its end (lua/overdue.lua)
    must_wait = job.status is Status.QUEUED and job.place is None and now < job.order.deadline_at
    if must_wait and not seen.waits:
        yield Broken("queued, but not in the queue", "enqueue")
    if seen.waits and (job.status is not Status.QUEUED or job.place is not None):
        yield Broken("in the queue, but not waiting", "dequeue")
    for name in sorted(seen.holds):
        if job.status in FREED_AT_THE_END and not job.may_be_upstream:
            yield Broken("a finished job holds a place", "drop_place", name)
        elif job.place != name:
            yield Broken("a place is held that the record does not know of", "drop_place", name)
    if job.status in OPEN and job.place is not None and job.place not in seen.holds:
        yield Broken("the record says a place that nobody holds", "keep_place", job.place)


def _posted_twice(seen: Seen) -> bool:
    """Whether an attempt number occurs twice: each number is one POST, with an intent and a track_id of its own."""
    intents = Counter(row["attempt"] for row in seen.timeline if row["cause"] == "intent")
    numbers = [each.number for each in seen.job.attempts]
    strange = any(each.track_id != attempt_track_id(seen.job.id, each.number) for each in seen.job.attempts)
    return strange or len(set(numbers)) != len(numbers) or any(times > 1 for times in intents.values())
