"""The status of an open job follows from all its attempts together. Pure; part of decisions.py.

One rule for every channel: what was learned about one attempt (by an answer, a callback, a poll, the end of a lease) is
noted on that attempt, and `follow` derives the job's status from it. So nothing is bought while an earlier attempt is
known to be taken, and nothing more is bought after one has failed.
"""

from dataclasses import replace
from typing import Any

from worker.job.record import OPEN, Failure, Job, Milliseconds, Status
from worker.job.step import Step, recorded
from worker.job.timing import Durations, next_late_look, next_look, until_placed


def stands_at(job: Job) -> Status:
    """The status that follows from the attempts of a job without a result; QUEUED if it may be bought (again)."""
    known = {attempt.status for attempt in job.attempts}
    if job.attempt and job.attempt.status == "submitting":
        return Status.SUBMITTING
    if any(attempt.status == "processing" and attempt.request_id for attempt in job.attempts):
        return Status.PROCESSING
    # a resubmit was asked for and is not taken yet: the attempt that it replaces stays open beside it
    is_to_come = job.status is Status.QUEUED or job.attempt is None or job.attempt.status == "refused"
    # after a failure nothing more is bought, but another open attempt may still have a result
    buys = job.resubmitted and is_to_come and "failed" not in known
    if "processing" in known or (known & {"unknown", "submitting"} and not buys):
        return Status.UNKNOWN  # taken without an id, or open: only a callback can say more
    return Status.FAILED if "failed" in known else Status.QUEUED


def is_known_taken(job: Job) -> bool:
    """Whether an attempt is taken and has not ended. Then nothing may be bought beside it, by nobody."""
    return any(attempt.status == "processing" for attempt in job.attempts)


def awaits_result(job: Job) -> bool:
    """Whether the job is open and has no result yet."""
    return job.status in OPEN and job.status is not Status.STORING


def follow(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """The step after something was noted on an attempt of a job that awaits its result. `cause` is one word."""
    status = stands_at(job)
    if status is job.status:
        # the newest attempt may have ended while an older one, with a place of its own, is open
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
    """Back into the queue without its place; the only way back, for every cause."""
    waiting = replace(job.moved(Status.QUEUED, now, unknown_until=None, **changes), place=None)
    return Step(waiting, cause, until_placed(waiting, now), frees_place=True)


def left_unknown(job: Job, cause: str, now: Milliseconds, durations: Durations) -> Step:
    """Nobody knows whether it was taken; the policy acts after the wait."""
    # at most half of the time that is left, so that the policy still has time to act
    wait = min(durations.unknown_wait, max(0, job.order.deadline_at - now) // 2)
    unknown = job.moved(Status.UNKNOWN, now, unknown_until=now + wait)
    return Step(unknown, cause, next_look(unknown, now, durations), frees_place=not job.may_be_upstream)


def failed_upstream(job: Job, cause: str, now: Milliseconds) -> Step:
    """The upstream said that it failed; the newest of its messages is kept."""
    words = next((attempt.message for attempt in reversed(job.attempts) if attempt.status == "failed"), None)
    return fail(job, cause, now, Failure("upstream_failed", "the upstream failed to generate", words))


def fail(job: Job, cause: str, now: Milliseconds, error: Failure) -> Step:
    """Ended with a stable code. A result that may have been paid for is still looked for."""
    ended = job.moved(Status.FAILED, now, error=error)
    return Step(ended, cause, next_late_look(ended, now), frees_place=not job.may_be_upstream)
