"""The state machine: (record, event) → the next step, as a value. Pure; no clock, no Redis, no HTTP.

This is the only place that decides whether something is tried again, and whether it may be billed again. Each function
returns a `Step`, which is written by compare-and-set, or None if the event changes nothing. After a lost race the
caller reads the record again and decides again.
"""

from dataclasses import replace
from typing import Literal

from worker.job.answer import Answer, Open, Outcome
from worker.job.attempts import awaits_result, fail, follow, is_known_taken, requeued
from worker.job.endings import contradiction, contradicts, ended, overdue, succeed, unreadable
from worker.job.ids import attempt_track_id
from worker.job.outcomes import judged, left_open
from worker.job.parking import parked, with_deaths
from worker.job.record import Attempt, Failure, Image, Job, Milliseconds, Status
from worker.job.step import KeyNews, Step, look_again, recorded
from worker.job.timing import Durations, can_end_in_time, collected_until, next_look, until_deadline

MAX_STALLS = 3
"""A job whose worker died more often than this without recording a step is ended, so that it kills no more workers."""
KEPT_REFUSED_ATTEMPTS = 10
"""So many refused attempts stay on the record. Older ones cost nothing and leave it; numbers are not reused."""


def claim(
    job: Job,
    upstream: str,
    now: Milliseconds,
    durations: Durations,
    claimant: str | None = None,
    quickest: Milliseconds | None = None,
    *,
    server: str | None = None,
) -> Step | None:
    """The intent to submit: after this write the request is POSTed once, and only by the worker that wrote it.

    `upstream` and `server` name the account and its base address, `claimant` the worker. If an earlier attempt is known
    to be taken, the job continues with that one and is not bought. A job that cannot end before its deadline expires
    instead: `quickest` is how long (ms) its tenant's quickest recent job took.
    """
    if job.status is not Status.QUEUED:
        return None
    if now >= job.order.deadline_at:
        return overdue(job, now)
    if is_known_taken(job):
        return follow(job, "taken", now, durations)
    if not can_end_in_time(job, now, quickest):
        return replace(overdue(job, now), cause="no_time")
    number = job.attempt.number + 1 if job.attempt else 1
    attempt = Attempt(number, attempt_track_id(job.id, number), upstream, now, claim=claimant, server=server)
    claimed = job.moved(Status.SUBMITTING, now, attempts=(*_kept(job.attempts), attempt))
    return Step(claimed, "intent", until_deadline(job, now, durations.submit_lease))


def never_sent(job: Job, claimant: str, now: Milliseconds, durations: Durations) -> Step | None:
    """Takes back an intent whose reply from Redis was lost; nothing was sent. Back to the queue.

    Also if the intent is not on the record: it may still arrive, and must then find another version.
    """
    attempt = job.attempt
    if job.status is Status.QUEUED and job.place and (attempt is None or attempt.claim != claimant):
        return requeued(job, "never_sent", now)
    if attempt is None or attempt.claim != claimant or attempt.status not in ("submitting", "unknown"):
        return None
    if not awaits_result(job):
        return None
    return follow(
        job.with_attempt(replace(attempt, status="refused", outcome="never_sent")), "never_sent", now, durations
    )


def handed_back(job: Job, cause: str, now: Milliseconds) -> Step | None:
    """A job that has a place but must not be bought by this worker now: back to the queue, nothing was sent.

    `cause` is store_away, or key_unknown: this worker does not have the account of the place, and no other account may
    use it. That account pauses for a moment, so that the job does not come back here at once.
    """
    if job.status is not Status.QUEUED or job.place is None:
        return None
    news = KeyNews("down", job.place, reason=cause) if cause == "key_unknown" else None
    return replace(requeued(job, cause, now), key_news=news)


def answered(job: Job, number: int, outcome: Outcome, now: Milliseconds, durations: Durations) -> Step | None:
    """The outcome of the POST of that attempt."""
    attempt = job.numbered(number)
    return None if attempt is None else judged(job, replace(attempt, answered_at=now), outcome, now, durations)


def called_back(job: Job, number: int, answer: Answer, now: Milliseconds, durations: Durations) -> Step | None:
    """A callback whose token proves the attempt. Its body is a hint; if it contradicts the token it is only counted."""
    if answer.kind in ("processing", "unreadable"):
        return None
    job = _recalled(job, number)
    attempt = job.numbered(number)
    if attempt is None:
        return None
    if contradicts(attempt, answer):
        return contradiction(job, now, durations)
    return ended(job, attempt, answer, "callback", now, durations)


def polled(
    job: Job, number: int, answer: Answer | None, now: Milliseconds, durations: Durations, *, cause: str = "poll"
) -> Step | None:
    """The answer of fetch; None if it could not be asked, for that `cause`. Anything but an end means: ask again later.

    "Request not found" is no end: the callback may still come, and a paid job is never given up early. An answer about
    another request would be somebody else's image; it is counted and ignored.
    """
    attempt = job.numbered(number)
    if attempt is None:
        return None
    if answer and contradicts(attempt, answer):
        return contradiction(replace(job, tries=job.tries + 1), now, durations)
    if answer and (answer.kind == "success" or (answer.kind == "failed" and answer.request_id)):
        return ended(job, attempt, answer, "poll", now, durations)
    return look_again(job, cause, now, durations)


def refreshed(job: Job, number: int, answer: Answer, now: Milliseconds, durations: Durations) -> Step | None:
    """New addresses from fetch, because the recorded ones stayed dead or there were none."""
    attempt = job.numbered(number)
    waiting = job.status is Status.STORING or job.accepts_late_result
    if attempt is None or not waiting or answer.kind != "success":
        return None
    if contradicts(attempt, answer):
        return contradiction(job, now, durations)
    if not answer.links or answer.links == job.links:
        return None
    return recorded(replace(job, links=answer.links, seed=answer.seed or job.seed), "refreshed", now, durations)


def collected(
    job: Job,
    images: tuple[Image, ...],
    outstanding: int,
    now: Milliseconds,
    durations: Durations,
    *,
    deaths: tuple[int, ...] = (),
) -> Step | None:
    """Images that are durable now; `outstanding` is how many recorded addresses may still give their image.

    `deaths` has the index of an image for each decoder that died on it (parking.py).
    """
    if job.status is not Status.STORING and not job.accepts_late_result:
        return None
    job = with_deaths(job, deaths)
    # another worker may have recorded images meanwhile: recorded images stay, whatever was stored beside them
    merged = {image.index: image for image in (*images, *job.images)}
    outstanding = max(0, outstanding - (len(merged) - len(images)))
    images = tuple(merged[index] for index in sorted(merged))
    if not images and not outstanding and parked(job):
        return unreadable(job, now, durations)
    if not images or (outstanding and now < collected_until(job)):
        return look_again(replace(job, images=images), "collect", now, durations)
    return succeed(job, images, now)


def woken(job: Job, now: Milliseconds, durations: Durations) -> Step | None:
    """Decisions by time alone: stalls, deadlines, leases, the policy for `unknown`."""
    if job.is_terminal:
        return None
    if job.stalls > MAX_STALLS and job.status is Status.STORING:
        failure = Failure("stalled", "the worker died each time it tried to store the images")
        return fail(job, "stalled", now, failure)
    if now >= job.order.deadline_at:
        return overdue(job, now)
    if job.status is Status.SUBMITTING and job.attempt and now >= job.attempt.started_at + durations.submit_lease:
        return left_open(job, job.attempt, Open("lease_over"), now, durations)
    if job.status is Status.UNKNOWN and job.unknown_until and now >= job.unknown_until:
        return _unknown_policy(job, now, durations)
    return None


def unaffordable(job: Job, now: Milliseconds, durations: Durations) -> Step:
    """The policy would buy again, but the budget has no room: then it holds, as the default policy does."""
    return _hold(job, "budget", now, durations)


def cancelled(job: Job, now: Milliseconds) -> Step | None:
    """The caller's cancel; None if the job has ended. The provider cannot cancel (`cancels`): see `charged`."""
    if job.is_terminal:
        return None
    return Step(job.moved(Status.CANCELLED, now), "cancelled", None, frees_place=not job.may_be_upstream)


def resolved(job: Job, action: Literal["resubmit", "fail"], now: Milliseconds, durations: Durations) -> Step | None:
    """A decision by hand on a job that is `unknown`; None if there is nothing to decide.

    A job that is known to be taken is not bought again, not even by hand: `fail` ends it, and a retry is a new job.
    """
    if job.status is not Status.UNKNOWN:
        return None
    if action == "fail":
        return _give_up(job, "manual", now)
    return None if is_known_taken(job) else _resubmit(job, "manual", now)


def _unknown_policy(job: Job, now: Milliseconds, durations: Durations) -> Step:
    # the provider takes no idempotency key (`takes_idempotency_key`), so only the caller's policy may send it again;
    # an attempt that was taken without giving an id is not open: it was bought, so no policy buys it again
    is_open = not is_known_taken(job)
    if is_open and job.order.on_unknown == "resubmit" and not job.resubmitted:
        return _resubmit(job, "resubmit", now)
    if is_open and job.order.on_unknown == "fail":
        return _give_up(job, "fail", now)
    return _hold(job, "hold", now, durations)


def _hold(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    held = job.moved(Status.UNKNOWN, now, unknown_until=None)
    return Step(held, cause, next_look(held, now, durations))


def _resubmit(job: Job, cause: str, now: Milliseconds) -> Step:
    return replace(requeued(job, cause, now, resubmitted=True), buys_again=True)


def _give_up(job: Job, cause: str, now: Milliseconds) -> Step:
    failure = Failure("submit_unknown", "nobody knows whether the upstream took the request; it was not sent again")
    return fail(job, cause, now, failure)


def _kept(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    refused = [attempt for attempt in attempts if not attempt.possibly_charged]
    dropped = set(refused[:-KEPT_REFUSED_ATTEMPTS]) - {attempts[-1] if attempts else None}
    return tuple(attempt for attempt in attempts if attempt not in dropped)


def _recalled(job: Job, number: int) -> Job:
    """The job with an old attempt that had left the record as refused, but whose callback says that it was taken."""
    newest = job.attempt
    if newest is None or not 0 < number < newest.number or job.numbered(number):
        return job
    forgotten = Attempt(number, attempt_track_id(job.id, number), newest.upstream, job.order.created_at, "refused")
    return replace(job, attempts=(replace(forgotten, outcome="forgotten"), *job.attempts))
