"""A record as it is loaded: with its timeline, its callbacks, and its position in the queue."""

from dataclasses import dataclass
from typing import NamedTuple

from worker.job.codec import decode_job
from worker.job.record import Job, Milliseconds
from worker.job.timing import SECOND
from worker.store.script import script
from worker.store.standing import Standing


class BrokenRecord(Exception):
    """What is stored for a job is not a record of ours. Nothing of it is in the text."""


class Callback(NamedTuple):
    """A callback as it came, for one attempt of its job; `at` in ms since 1970."""

    at: Milliseconds
    attempt: int
    body: bytes


def read_callback(row: bytes) -> Callback:
    """A row of the inbox, as lua/callback.lua writes it."""
    at, attempt, body = row.split(b" ", 2)
    return Callback(int(at), int(attempt), body)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A record with its timeline and its unread callbacks; `now` is by Redis' clock (ms since 1970)."""

    job: Job
    now: Milliseconds
    timeline: bytes
    inbox_read: int
    """How many of its callbacks have been read (decided on)."""
    inbox: tuple[Callback, ...]
    """The unread callbacks, oldest first."""
    standing: Standing | None = None
    quickest_ms: Milliseconds | None = None
    """How long the quickest recent job of its tenant took, from intent to end."""

    @property
    def has_just_ended(self) -> bool:
        """Whether it ended within the last second."""
        return self.job.finished_at is not None and self.now - self.job.finished_at < SECOND


class LoadReply(NamedTuple):
    """A record (empty: there is none) and its unread callbacks."""

    now: Milliseconds
    job: dict[bytes, bytes]
    inbox: tuple[bytes, ...]
    quickest_ms: Milliseconds | None = None


class ViewReply(NamedTuple):
    """The same, with `standing` if the job waits, and the recent time from place to end."""

    now: Milliseconds
    job: dict[bytes, bytes]
    inbox: tuple[bytes, ...]
    standing: Standing | None = None
    done_ms: Milliseconds | None = None


@script
def load(*, job_id: str) -> LoadReply:
    """One record."""


@script
def view(*, job_id: str, tenant: str) -> ViewReply:
    """One record, to show it; only if it is that tenant's, if one is given."""


def read_job(row: dict[bytes, bytes]) -> Job:
    """The record. Raises BrokenRecord if a hand, or a version to come, has written something else there."""
    try:
        int(row.get(b"inbox_read", 0)), row[b"timeline"]
        return decode_job(row)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenRecord(type(error).__name__) from None


def loaded(reply: LoadReply) -> Loaded | None:
    """The reply of lua/load.lua as Loaded."""
    return _loaded(reply, None, reply.quickest_ms)


def viewed(reply: ViewReply) -> Loaded | None:
    """The reply of lua/view.lua as Loaded."""
    return _loaded(reply, reply.standing or Standing(done_ms=reply.done_ms), None)


def _loaded(reply: LoadReply | ViewReply, standing: Standing | None, quickest_ms: Milliseconds | None) -> Loaded | None:
    row = reply.job
    if b"doc" not in row:  # there is none, or only a ghost that an older version wrote
        return None
    job = read_job(row)
    read, callbacks = int(row.get(b"inbox_read", 0)), tuple(map(read_callback, reply.inbox))
    return Loaded(job, reply.now, row[b"timeline"], read, callbacks, standing, quickest_ms)
