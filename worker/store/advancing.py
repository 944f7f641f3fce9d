"""One step as Redis is told it: the calling contract of lua/advance.lua."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

from worker.job.codec import encode_row
from worker.job.cost import cost_of, day_of
from worker.job.record import OPEN_UPSTREAM, TERMINAL, Attempt, Job, Milliseconds
from worker.job.step import KeyNews, Step
from worker.job.timing import LATE_SECONDS, SECOND
from worker.store.admission import Budget, Refusal
from worker.store.keys import REQUEST
from worker.store.push import Push
from worker.store.script import AsText, script


class Booking(NamedTuple):
    """What the job costs its tenant's budget once the step is written."""

    images_open: AsText[int]
    """That may still be bought, or are being bought."""
    images_spent: AsText[int]
    day: str
    """Of the accept, in UTC."""
    buys_again: bool
    """Then it is refused where the budget has no room for it."""
    images_day: int
    images_month: int
    """Both where nothing else is set for the tenant; 0 for no limit."""


class News(NamedTuple):
    """What the step says of the account that the job was sent with; an empty `news` says nothing."""

    news: str
    account: str
    pause_ms: Milliseconds
    """That the upstream asked for; 0 where it did not."""
    jitter: float
    """0 to 1, so that not everybody comes back at once."""
    reason: str


class Learned(NamedTuple):
    """The index row of a request id that the step brings; an empty key for none."""

    request_key: str
    track_id: str
    request_ms: Milliseconds
    """How long the row is kept: as long as anybody may be asked for by that id."""


class GivenBack(NamedTuple):
    """The place of an attempt that is over, beside which another one was sent."""

    account: str
    track_id: str


class Advanced(NamedTuple):
    """Whether the step was written: another writer may have been quicker, or the budget has no room."""

    done: bool
    refused_by: Refusal | None = None


@script
def advance(
    *,
    push: Push,
    job_id: str,
    version: int,
    status: str,
    doc: bytes,
    timeline_row: bytes,
    due_in: Milliseconds | None,
    collects: bool,
    frees_place: bool,
    delivery_id: str,
    inbox_read: int,
    cause: str,
    booking: Booking,
    news: News,
    learned: Learned,
    given_back: Sequence[GivenBack],
) -> Advanced:
    """Writes one step to the record of `version`, and what follows from it. `delivery_id` is empty for none."""


def booking(job: Job, step: Step, budget: Budget) -> Booking:
    """What the step books."""
    cost = cost_of(job)
    return Booking(cost.open, cost.spent, day_of(job.order.created_at), step.buys_again, budget.day, budget.month)


def news_of(job: Job, news: KeyNews | None) -> News:
    """What the step says of an account."""
    return News(news.kind, news.upstream, news.pause, jitter(job), news.reason) if news else News("", "", 0, 0, "")


def timeline_row(step: Step) -> bytes:
    """The step as a row of the timeline."""
    job = step.job
    return encode_row(job.updated_at, job.status, step.cause, job.attempt.number if job.attempt else None)


def request_key(attempt: Attempt, request_id: str) -> str:
    """The index row of an id that the upstream gave to an attempt."""
    return REQUEST(attempt.server or "", request_id)


def learned_id(before: Job, after: Job) -> Learned:
    """The request id that this step brings."""
    for attempt in after.attempts:
        known = before.numbered(attempt.number)
        if attempt.server and attempt.request_id and (known is None or known.request_id is None):
            left = max(0, after.order.deadline_at - after.updated_at) + (LATE_SECONDS + 3600) * SECOND
            return Learned(request_key(attempt, attempt.request_id), attempt.track_id, left)
    return Learned("", "", 0)


def delivery_id(before: Job, after: Job) -> str:
    """The id of what the caller is to be told, constant over all tries: one per end, so a late result tells again."""
    ended = after.status in TERMINAL and before.status is not after.status
    return f"msg_{after.id}_{after.version}" if ended and after.order.webhook else ""


def given_back(before: Job, after: Job) -> Iterator[GivenBack]:
    """The places of attempts that others were to be sent beside, and that are over by this step.

    The newest attempt may have one as well: its job was queued again, and then it turned out to be taken after all.
    """
    for attempt in after.attempts:
        known = before.numbered(attempt.number)
        if known and known.status in OPEN_UPSTREAM and attempt.status not in OPEN_UPSTREAM:
            yield GivenBack(attempt.upstream, attempt.track_id)


def jitter(job: Job) -> float:
    """0 to 1, spread over jobs, the same for one version in every process: nothing that a step needs is random."""
    return crc32(f"{job.id} {job.version}".encode()) % 1000 / 1000
