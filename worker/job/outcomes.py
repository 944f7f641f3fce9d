"""What follows from the outcome of a submit, for the attempt and for the job. Pure; part of decisions.py.

Only a proven refusal leads back to the queue. An open outcome stays open until a callback, a poll or the policy
decides.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.job.attempts import awaits_result, fail, follow, stands_at
from worker.job.endings import contradiction, contradicts, ended
from worker.job.record import Attempt, Failure, Job, Milliseconds, Status
from worker.job.step import KeyNews, Step, recorded
from worker.job.timing import SECOND, Durations


def judged(job: Job, attempt: Attempt, outcome: Outcome, now: Milliseconds, durations: Durations) -> Step | None:
    """The step after this outcome of the attempt's POST; None if it changes nothing."""
    match outcome:
        case Taken(answer) if contradicts(attempt, answer):
            return _foreign_answer(job, attempt, now, durations)
        case Taken(answer):
            step = _taken(job, attempt, answer, now, durations)
            return step and replace(step, key_news=KeyNews("ok", attempt.upstream))
        case NotTaken():
            return _not_taken(job, attempt, outcome, now, durations)
        case Open():
            return left_open(job, attempt, outcome, now, durations)


def _taken(job: Job, attempt: Attempt, answer: Answer, now: Milliseconds, durations: Durations) -> Step | None:
    attempt = replace(attempt, outcome="taken", request_id=attempt.request_id or answer.request_id)
    if answer.kind != "processing":
        return ended(job, attempt, answer, "answer", now, durations)
    if attempt.status in ("submitting", "unknown"):
        attempt = replace(attempt, status="processing")
    noted = job.with_attempt(attempt)
    if not awaits_result(job):
        return recorded(noted, "answer", now, durations)
    noted = replace(noted, eta_at=now + int((answer.eta_seconds or 0) * SECOND))
    return follow(noted, "taken" if attempt.request_id else "taken_without_id", now, durations)


def _foreign_answer(job: Job, attempt: Attempt, now: Milliseconds, durations: Durations) -> Step | None:
    """We got the answer to another request. It says nothing about ours, which may have been taken."""
    counted = replace(job, contradictions=job.contradictions + 1)
    left = left_open(counted, attempt, Open("foreign_answer"), now, durations)
    return left or contradiction(job, now, durations)


def _not_taken(job: Job, attempt: Attempt, refusal: NotTaken, now: Milliseconds, durations: Durations) -> Step | None:
    if attempt.status == "refused":  # recorded already, by a write whose reply was lost
        return None
    if attempt.status not in ("submitting", "unknown"):  # its callback came first, and is proof
        return contradiction(job, now, durations)
    attempt = replace(attempt, status="refused", outcome=refusal.reason.value, message=refusal.message or None)
    noted = job.with_attempt(attempt)
    news = _key_news(attempt, refusal)
    if not awaits_result(job):
        return replace(recorded(noted, "answer", now, durations), key_news=news, frees_place=not noted.may_be_upstream)
    if refusal.reason is Reason.REJECTED and stands_at(noted) is Status.QUEUED:
        failure = Failure("upstream_rejected", "the upstream refused this request", refusal.message or None)
        return replace(fail(noted, "rejected", now, failure), key_news=news)
    return replace(follow(noted, refusal.reason.value, now, durations), key_news=news)


def left_open(job: Job, attempt: Attempt, outcome: Open, now: Milliseconds, durations: Durations) -> Step | None:
    """Nobody knows whether it was taken. None if something is known already."""
    if attempt.status != "submitting":  # a callback came before the broken answer
        return None
    attempt = replace(attempt, status="unknown", outcome=outcome.reason, message=outcome.message or None)
    noted = job.with_attempt(attempt)
    news = KeyNews("shaky", attempt.upstream, reason=outcome.reason)
    step = (
        follow(noted, outcome.reason, now, durations)
        if awaits_result(job)
        else recorded(noted, "answer", now, durations)
    )
    return replace(step, key_news=news)


WEIGHS: Mapping[Reason, Literal["ok", "busy", "refused", "down"]] = {
    Reason.REJECTED: "ok",  # the account has read the request and answered
    Reason.BUSY: "busy",
    Reason.KEY_REFUSED: "refused",
    Reason.MISCONFIGURED: "refused",
    Reason.UNREACHABLE: "down",  # no request was read, so none can be the cause
}
"""What a proven refusal says of the account. An open outcome is `shaky`, whatever its reason.

`busy`, `refused` and `shaky` may be due to the words of this one request. So lua/includes/governor.lua lets them count
for the job's tenant, and for everybody only after a second tenant was told the same.
"""


def _key_news(attempt: Attempt, refusal: NotTaken) -> KeyNews:
    kind = WEIGHS[refusal.reason]
    if kind == "ok":
        return KeyNews("ok", attempt.upstream)
    pause = int((refusal.retry_after_seconds or 0) * SECOND)
    return KeyNews(kind, attempt.upstream, pause, refusal.message or refusal.reason.value)
