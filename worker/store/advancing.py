"""Writing one step: the calling contract of lua/advance.lua."""

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
    """The job's cost for its tenant's budget after the step."""

    images_open: AsText[int]
    """Images that may still be bought, or are being bought."""
    images_spent: AsText[int]
    day: str
    """The day of the accept, in UTC."""
    buys_again: bool
    """The step buys again, and is refused if the budget has no room."""
    images_day: int
    images_month: int
    """Both limits apply if none is set for the tenant; 0: no limit."""


class News(NamedTuple):
    """What the step has shown about the account of the job; an empty `news` is nothing."""

    news: str
    account: str
    pause_ms: Milliseconds
    """The pause that the upstream asked for; 0: none."""
    jitter: float
    """0 to 1, so that retries do not all come at once."""
    reason: str


class Learned(NamedTuple):
    """The index row of a new request id; an empty key: none."""

    request_key: str
    track_id: str
    request_ms: Milliseconds
    """How long the row is kept: as long as somebody may poll by that id."""


class GivenBack(NamedTuple):
    """The place of an earlier attempt that is over; another attempt was sent beside it."""

    account: str
    track_id: str


class Advanced(NamedTuple):
    """Whether the step was written. If not, another writer was quicker, or the budget has no room."""

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
    """Writes one step to the record of that `version`, and what follows from it. An empty `delivery_id`: none."""


def booking(job: Job, step: Step, budget: Budget) -> Booking:
    """What the step books."""
    cost = cost_of(job)
    return Booking(cost.open, cost.spent, day_of(job.order.created_at), step.buys_again, budget.day, budget.month)


def news_of(job: Job, news: KeyNews | None) -> News:
    """What the step has shown about its account."""
    return News(news.kind, news.upstream, news.pause, jitter(job), news.reason) if news else News("", "", 0, 0, "")


def timeline_row(step: Step) -> bytes:
    """The step as a row of the timeline."""
    job = step.job
    return encode_row(job.updated_at, job.status, step.cause, job.attempt.number if job.attempt else None)


def request_key(attempt: Attempt, request_id: str) -> str:
    """The Redis key of the index row for a request id of an attempt."""
    return REQUEST(attempt.server or "", request_id)


def learned_id(before: Job, after: Job) -> Learned:
    """The request id that is new with this step."""
    for attempt in after.attempts:
        known = before.numbered(attempt.number)
        if attempt.server and attempt.request_id and (known is None or known.request_id is None):
            left = max(0, after.order.deadline_at - after.updated_at) + (LATE_SECONDS + 3600) * SECOND
            return Learned(request_key(attempt, attempt.request_id), attempt.track_id, left)
    return Learned("", "", 0)


def delivery_id(before: Job, after: Job) -> str:
    """The id of the webhook delivery, the same for all tries. One per end of the job, so a late result has another."""
    ended = after.status in TERMINAL and before.status is not after.status
    return f"msg_{after.id}_{after.version}" if ended and after.order.webhook else ""


def given_back(before: Job, after: Job) -> Iterator[GivenBack]:
    """The places of earlier attempts that are over by this step.

    The newest attempt may have one as well: its job was queued again, and then the attempt turned out to be taken.
    """
    for attempt in after.attempts:
        known = before.numbered(attempt.number)
        if known and known.status in OPEN_UPSTREAM and attempt.status not in OPEN_UPSTREAM:
            yield GivenBack(attempt.upstream, attempt.track_id)


def jitter(job: Job) -> float:
    """0 to 1, spread over jobs, and the same for one version in every process, so that a step can be repeated."""
    return crc32(f"{job.id} {job.version}".encode()) % 1000 / 1000
