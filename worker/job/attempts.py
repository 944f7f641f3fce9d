"""Where an open job stands follows from what is known of its attempts together. Pure; part of decisions.py.

One rule for every channel: whatever was learned of one attempt (an answer, a callback, a poll, a lease that ended) is
noted on that attempt, and `follow` says what that makes of the job. So nothing is bought while an earlier attempt is
known to be taken, and nothing is bought on where one has failed.
"""

from dataclasses import replace
from typing import Any

from worker.job.record import OPEN, Failure, Job, Milliseconds, Status
from worker.job.step import Step, recorded
from worker.job.timing import Durations, next_late_look, next_look, until_placed


def stands_at(job: Job) -> Status:
    """The status that the attempts of a job without a result add up to; QUEUED where it may be bought (again)."""
    known = {attempt.status for attempt in job.attempts}
    if job.attempt and job.attempt.status == "submitting":
        return Status.SUBMITTING
    if any(attempt.status == "processing" and attempt.request_id for attempt in job.attempts):
        return Status.PROCESSING
    # a resubmit was asked for and has not been taken yet: the attempt that it makes up for stays open beside it
    is_to_come = job.status is Status.QUEUED or job.attempt is None or job.attempt.status == "refused"
    # where one has failed nothing is bought any more, and what is open beside it may still have a result
    buys = job.resubmitted and is_to_come and "failed" not in known
    if "processing" in known or (known & {"unknown", "submitting"} and not buys):
        return Status.UNKNOWN  # taken without an id, or open: only a callback can tell more
    return Status.FAILED if "failed" in known else Status.QUEUED


def is_known_taken(job: Job) -> bool:
    """Whether an attempt is bought and not over: nothing may be bought beside it, by nobody."""
    return any(attempt.status == "processing" for attempt in job.attempts)


def awaits_result(job: Job) -> bool:
    """Open, and nobody has a result yet."""
    return job.status in OPEN and job.status is not Status.STORING


def follow(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """The step after something was noted on an attempt of a job that awaits its result."""
    status = stands_at(job)
    if status is job.status:
        # the newest attempt may have ended while an older one, whose place is kept beside, is open
        over = status is Status.UNKNOWN and not job.may_be_upstream
        return replace(recorded(job, cause, now, durations), frees_place=over)
    match status:
        case Status.QUEUED:
            return requeued(job, cause, now)
        case Status.UNKNOWN:
            return left_unknown(job, cause, now, durations)
        case Status.FAILED:
            return failed_upstream(job, cause, now)
    moved = job.moved(status, now, unknown_until=None)
    return Step(moved, cause, next_look(moved, now, durations))


def requeued(job: Job, cause: str, now: Milliseconds, **changes: Any) -> Step:
    """Back into the queue without its place: the one way there, whatever the cause."""
    waiting = replace(job.moved(Status.QUEUED, now, unknown_until=None, **changes), place=None)
    return Step(waiting, cause, until_placed(waiting, now), frees_place=True)


def left_unknown(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """Nobody knows; the policy acts after the wait."""
    # never more than half of what is left, so that a policy still has time to act
    wait = min(durations.unknown_wait, max(0, job.order.deadline_at - now) // 2)
    unknown = job.moved(Status.UNKNOWN, now, unknown_until=now + wait)
    return Step(unknown, cause, next_look(unknown, now, durations), frees_place=not job.may_be_upstream)


def failed_upstream(job: Job, cause: str, now: Milliseconds) -> Step:
    """By the upstream's own word, the newest one."""
    words = next((attempt.message for attempt in reversed(job.attempts) if attempt.status == "failed"), None)
    return fail(job, cause, now, Failure("upstream_failed", "the upstream failed to generate", words))


def fail(job: Job, cause: str, now: Milliseconds, error: Failure) -> Step:
    """Ended with a stable code; what may have been paid for is still looked for."""
    ended = job.moved(Status.FAILED, now, error=error)
    return Step(ended, cause, next_late_look(ended, now), frees_place=not job.may_be_upstream)
