"""What follows from what happened: (record, event) → the next step, as a value. Pure; no clock, no Redis, no HTTP.

This is the one place that decides whether something is tried again and whether it may be billed again. Each function
returns a `Step` to be applied by compare-and-set, or None where the event changes nothing. A lost race is no
error: the caller reads the record again and asks again.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker.job import OPEN, Attempt, Image, Job, Milliseconds, Problem, Status, Via
from worker.timing import SECOND, Limits, next_late_look, next_look, until_deadline
from worker.upstream.outcome import NotTaken, Open, Outcome, Reason, Taken
from worker.upstream.wire import Answer

MAX_STALLS = 3
"""A job whose worker died that often without recording a step is parked, so that it cannot kill a fourth."""
KEPT_REFUSED_ATTEMPTS = 10
"""Refused attempts cost nothing; older ones leave the record, their numbers are never used again."""


@dataclass(frozen=True, slots=True)
class KeyNews:
    """What an attempt taught about its upstream key: it works, its queue is full, it answers oddly, it is down."""

    kind: Literal["ok", "busy", "shaky", "down"]
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
    key_news: KeyNews | None = None


def claim(job: Job, upstream: str, now: Milliseconds, limits: Limits, claimant: str | None = None) -> Step | None:
    """The intent to submit: after this write, and only by the one who made it, the request is POSTed once."""
    if job.status is not Status.QUEUED:
        return None
    if now >= job.order.deadline_at:
        return _expire(job, now)
    number = job.attempt.number + 1 if job.attempt else 1
    attempt = Attempt(number, f"{job.id}-{number}", upstream, now, claim=claimant)
    claimed = job.moved(Status.SUBMITTING, now, attempts=(*_kept(job.attempts), attempt))
    return Step(claimed, "intent", until_deadline(job, now, limits.submit_lease))


def never_sent(job: Job, claimant: str, now: Milliseconds) -> Step | None:
    """That worker's intent, whose reply from Redis was lost, so that it sent nothing: back to the queue."""
    attempt = job.attempt
    if attempt is None or attempt.claim != claimant or attempt.status not in ("submitting", "unknown"):
        return None
    if job.status not in (Status.SUBMITTING, Status.UNKNOWN):
        return None
    noted = job.with_attempt(replace(attempt, status="refused", outcome="never_sent"))
    waiting = noted.moved(Status.QUEUED, now, unknown_until=None)
    return Step(waiting, "never_sent", max(0, job.order.deadline_at - now), frees_place=True)


def handed_back(job: Job, now: Milliseconds) -> Step | None:
    """A job that has its place but must not be bought now: back to the queue, nothing was asked."""
    if job.status is not Status.QUEUED or job.place is None:
        return None
    waiting = job.moved(Status.QUEUED, now)
    return Step(waiting, "store_away", max(0, job.order.deadline_at - now), frees_place=True)


def answered(job: Job, number: int, outcome: Outcome, now: Milliseconds, limits: Limits) -> Step | None:
    """What the POST of that attempt came to."""
    attempt = job.numbered(number)
    if attempt is None:
        return None
    attempt = replace(attempt, answered_at=now)
    match outcome:
        case Taken(answer):
            step = _taken(job, attempt, answer, now, limits)
            return step and replace(step, key_news=KeyNews("ok", attempt.upstream))
        case NotTaken():
            return _not_taken(job, attempt, outcome, now, limits)
        case Open():
            return _left_open(job, attempt, outcome, now, limits)


def called_back(job: Job, number: int, answer: Answer, now: Milliseconds, limits: Limits) -> Step | None:
    """A callback whose token proves the attempt. Its body is a hint: one that contradicts the token is only counted."""
    attempt = job.numbered(number)
    if attempt is None or answer.kind in ("processing", "unreadable"):
        return None
    if _contradicts(attempt, answer):
        return _contradiction(job, now, limits)
    return _ended(job, attempt, answer, "callback", now, limits)


def polled(job: Job, number: int, answer: Answer | None, now: Milliseconds, limits: Limits) -> Step | None:
    """What fetch said; None where it could not be asked. Anything but an end means: ask again later.

    "Request not found" is no end: the callback may still come, and what was paid for is never given up early.
    """
    attempt = job.numbered(number)
    if attempt is None:
        return None
    if answer and (answer.kind == "success" or (answer.kind == "failed" and answer.request_id)):
        return _ended(job, attempt, answer, "poll", now, limits)
    return _look_again(job, "poll", now, limits)


def refreshed(job: Job, answer: Answer, now: Milliseconds, limits: Limits) -> Step | None:
    """Addresses asked for anew, because the recorded ones stayed dead or there were none."""
    waiting = job.status is Status.STORING or job.accepts_late_result
    if not waiting or answer.kind != "success" or answer.links == job.links:
        return None
    return _recorded(replace(job, links=answer.links, seed=answer.seed or job.seed), "refreshed", now, limits)


def collected(job: Job, images: tuple[Image, ...], outstanding: int, now: Milliseconds, limits: Limits) -> Step | None:
    """Pictures that are durable by now, and how many of the recorded addresses have not given theirs yet."""
    if job.status is not Status.STORING and not job.accepts_late_result:
        return None
    if not images or (outstanding and now < job.order.deadline_at):
        return _look_again(replace(job, images=images), "collect", now, limits)
    return _succeed(job, images, now)


def woken(job: Job, now: Milliseconds, limits: Limits) -> Step | None:
    """What time alone decides: stalls, deadlines, leases, the policy for `unknown`."""
    if job.is_terminal:
        return None
    if job.stalls > MAX_STALLS and job.status is Status.STORING:
        problem = Problem("stalled", "the worker died each time it tried to store the pictures")
        return _fail(job, "stalled", now, problem)
    if now >= job.order.deadline_at:
        return _overdue(job, now)
    if job.status is Status.SUBMITTING and job.attempt and now >= job.attempt.started_at + limits.submit_lease:
        return _left_open(job, job.attempt, Open("lease_over", ""), now, limits)
    if job.status is Status.UNKNOWN and job.unknown_until and now >= job.unknown_until:
        return _unknown_policy(job, now, limits)
    return None


def cancelled(job: Job, now: Milliseconds) -> Step | None:
    """The caller's cancel; None where the job has ended. The upstream cannot be told: see `charged`."""
    if job.is_terminal:
        return None
    asked = job.attempt is not None and job.attempt.possibly_charged
    return Step(job.moved(Status.CANCELLED, now), "cancelled", None, frees_place=not asked)


def resolved(job: Job, action: Literal["resubmit", "fail"], now: Milliseconds, limits: Limits) -> Step | None:
    """An operator's or caller's decision on an `unknown`; None where there is nothing to decide."""
    if job.status is not Status.UNKNOWN:
        return None
    return _resubmit(job, "manual", now) if action == "resubmit" else _give_up(job, "manual", now)


def _taken(job: Job, attempt: Attempt, answer: Answer, now: Milliseconds, limits: Limits) -> Step | None:
    attempt = replace(attempt, outcome="taken", request_id=attempt.request_id or answer.request_id)
    if answer.kind != "processing":
        return _ended(job, attempt, answer, "answer", now, limits)
    if attempt.status in ("submitting", "unknown"):
        attempt = replace(attempt, status="processing")
    noted = job.with_attempt(attempt)
    if job.status not in (Status.SUBMITTING, Status.UNKNOWN) or attempt != noted.attempt:
        return _recorded(noted, "answer", now, limits)
    if attempt.request_id is None:  # taken, but only its callback can tell us more: never bought again
        return _stay_unknown(noted, "taken_without_id", now, limits)
    eta_at = now + int((answer.eta_seconds or 0) * SECOND)
    processing = noted.moved(Status.PROCESSING, now, eta_at=eta_at)
    return Step(processing, "taken", next_look(processing, now, limits))


def _not_taken(job: Job, attempt: Attempt, refusal: NotTaken, now: Milliseconds, limits: Limits) -> Step | None:
    attempt = replace(attempt, status="refused", outcome=refusal.reason.value, message=refusal.message or None)
    noted = job.with_attempt(attempt)
    news = _key_news(attempt, refusal)
    if job.status not in (Status.SUBMITTING, Status.UNKNOWN) or attempt != noted.attempt:
        return replace(_recorded(noted, "answer", now, limits), key_news=news)
    if refusal.reason is Reason.REJECTED:
        problem = Problem("upstream_rejected", "the upstream refused this request", refusal.message or None)
        return replace(_fail(noted, "rejected", now, problem), key_news=news)
    waiting = noted.moved(Status.QUEUED, now)
    return Step(waiting, refusal.reason.value, next_look(waiting, now, limits), frees_place=True, key_news=news)


def _left_open(job: Job, attempt: Attempt, outcome: Open, now: Milliseconds, limits: Limits) -> Step | None:
    if attempt.status != "submitting":  # a callback was quicker than the broken answer
        return None
    attempt = replace(attempt, status="unknown", outcome=outcome.reason, message=outcome.message or None)
    noted = job.with_attempt(attempt)
    news = KeyNews("shaky", attempt.upstream, reason=outcome.reason)
    if job.status is not Status.SUBMITTING or attempt != noted.attempt:
        return replace(_recorded(noted, "answer", now, limits), key_news=news)
    return replace(_stay_unknown(noted, outcome.reason, now, limits), key_news=news)


def _stay_unknown(job: Job, cause: str, now: Milliseconds, limits: Limits) -> Step:
    # never more than half of what is left, so that a policy still has time to act
    wait = min(limits.unknown_wait, max(0, job.order.deadline_at - now) // 2)
    unknown = job.moved(Status.UNKNOWN, now, unknown_until=now + wait)
    return Step(unknown, cause, next_look(unknown, now, limits))


def _ended(job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, limits: Limits) -> Step | None:
    """The upstream's part is over: the first end of the first attempt wins, later ones are recorded."""
    attempt = replace(attempt, request_id=attempt.request_id or answer.request_id)
    if answer.kind == "success":
        return _result(job, attempt, answer, via, now, limits)
    return _upstream_failure(job, attempt, answer, via, now, limits)


def _result(job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, limits: Limits) -> Step | None:
    known = job.numbered(attempt.number)
    if known and known.status in ("succeeded", "duplicate"):
        fresh = attempt.request_id != known.request_id
        return _recorded(job.with_attempt(replace(attempt, status=known.status)), via, now, limits) if fresh else None
    if known and known.status == "failed":
        return _contradiction(job, now, limits)
    if job.completed_via:  # another attempt has won: its twin was paid for as well
        duplicate = job.with_attempt(replace(attempt, status="duplicate"))
        return replace(_recorded(duplicate, "duplicate_spend", now, limits), frees_place=True)
    won = job.with_attempt(replace(attempt, status="succeeded"))
    won = replace(won, links=answer.links, seed=answer.seed, nsfw=answer.nsfw, completed_via=via)
    if job.status in OPEN:
        storing = won.moved(Status.STORING, now)
        return Step(storing, via, limits.work_lease, collects=True, frees_place=True)
    if job.accepts_late_result:
        return Step(won.moved(job.status, now, tries=0), via, limits.work_lease, collects=True, frees_place=True)
    return replace(_recorded(won, via, now, limits), due_in=None, frees_place=True)


def _upstream_failure(
    job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, limits: Limits
) -> Step | None:
    known = job.numbered(attempt.number)
    if known and known.status in ("succeeded", "duplicate", "failed"):
        return _contradiction(job, now, limits) if known.status != "failed" else None
    noted = job.with_attempt(replace(attempt, status="failed", message=answer.message or None))
    if job.status not in OPEN or job.status is Status.STORING or attempt.number != (job.attempt or attempt).number:
        return replace(_recorded(noted, via, now, limits), frees_place=job.is_terminal)
    problem = Problem("upstream_failed", "the upstream failed to generate", answer.message or None)
    return _fail(noted, via, now, problem)


def _unknown_policy(job: Job, now: Milliseconds, limits: Limits) -> Step:
    # an attempt that was taken without telling its id is not open: it was bought, so no policy buys it again
    open_attempt = job.attempt is not None and job.attempt.status == "unknown"
    if open_attempt and job.order.on_unknown == "resubmit" and not job.resubmitted:
        return _resubmit(job, "resubmit", now)
    if open_attempt and job.order.on_unknown == "fail":
        return _give_up(job, "fail", now)
    held = job.moved(Status.UNKNOWN, now, unknown_until=None)
    return Step(held, "hold", next_look(held, now, limits), frees_place=True)


def _resubmit(job: Job, cause: str, now: Milliseconds) -> Step:
    waiting = job.moved(Status.QUEUED, now, resubmitted=True, unknown_until=None)
    return Step(waiting, cause, max(0, job.order.deadline_at - now), frees_place=True)


def _give_up(job: Job, cause: str, now: Milliseconds) -> Step:
    problem = Problem("submit_unknown", "nobody knows whether the upstream took the request; it was not sent again")
    return _fail(job, cause, now, problem)


def _overdue(job: Job, now: Milliseconds) -> Step:
    if job.status is not Status.STORING:
        expired = _expire(job, now)
        return replace(expired, due_in=next_late_look(expired.job, now))
    if job.images:  # some are there and the rest has run out of time
        return _succeed(job, job.images, now)
    problem = Problem("images_unavailable", "the pictures could not be fetched and stored before the deadline")
    return _fail(job, "deadline", now, problem)


def _succeed(job: Job, images: tuple[Image, ...], now: Milliseconds) -> Step:
    missing = max(0, int(job.order.request.get("samples") or 1) - len(images))
    blanked = job.nsfw or any(image.nsfw for image in images)
    stored = replace(job, images=images, images_missing=missing, nsfw=blanked, late=job.is_terminal, error=None)
    done = stored.moved(Status.SUCCEEDED, now, finished_at=now)
    return Step(done, "late_result" if job.is_terminal else "stored", None, frees_place=True)


def _expire(job: Job, now: Milliseconds) -> Step:
    return Step(job.moved(Status.EXPIRED, now), "deadline", None, frees_place=True)


def _fail(job: Job, cause: str, now: Milliseconds, error: Problem) -> Step:
    ended = job.moved(Status.FAILED, now, error=error)
    return Step(ended, cause, next_late_look(ended, now), frees_place=True)


def _contradiction(job: Job, now: Milliseconds, limits: Limits) -> Step:
    return _recorded(replace(job, contradictions=job.contradictions + 1), "contradiction", now, limits)


def _recorded(job: Job, cause: str, now: Milliseconds, limits: Limits) -> Step:
    """Kept on the record without a change of status."""
    noted = job.moved(job.status, now)
    return Step(noted, cause, next_look(noted, now, limits))


def _look_again(job: Job, cause: str, now: Milliseconds, limits: Limits) -> Step:
    tried = job.moved(job.status, now, tries=job.tries + 1)
    return Step(tried, cause, next_look(tried, now, limits))


def _contradicts(attempt: Attempt, answer: Answer) -> bool:
    other_track = answer.track_id is not None and answer.track_id != attempt.track_id
    known = attempt.request_id is not None and answer.request_id is not None
    return other_track or (known and attempt.request_id != answer.request_id)


def _kept(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    refused = [attempt for attempt in attempts if not attempt.possibly_charged]
    dropped = set(refused[:-KEPT_REFUSED_ATTEMPTS]) - {attempts[-1] if attempts else None}
    return tuple(attempt for attempt in attempts if attempt not in dropped)


def _key_news(attempt: Attempt, refusal: NotTaken) -> KeyNews:
    """A full queue pauses the key, a dead or refused one trips its breaker, a refused request says that it works."""
    pause = int((refusal.retry_after_seconds or 0) * SECOND)
    if refusal.reason is Reason.REJECTED:
        return KeyNews("ok", attempt.upstream)
    kind: Literal["busy", "down"] = "busy" if refusal.reason is Reason.BUSY else "down"
    return KeyNews(kind, attempt.upstream, pause, refusal.message or refusal.reason.value)
