"""When somebody must look at a job again, if nothing happens before. Pure; durations are milliseconds."""

from dataclasses import dataclass

from worker.job import Job, Milliseconds, Status

SECOND = 1000
LEAST_TO_MAKE = SECOND // 2
"""Nothing was ever made and stored in less: what a job needs until its deadline while nothing is known of others."""
LATE_SECONDS = 86_400
"""How long a result is still looked for after the end: the upstream deletes its pictures after 24 hours."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The durations that decisions depend on, in milliseconds."""

    submit_lease: Milliseconds
    """Longer than any POST can last: after it, nobody is going to record the POST's outcome."""
    work_lease: Milliseconds
    """After it, a worker that took a message and recorded nothing is believed dead."""
    unknown_wait: Milliseconds
    callbacks_trusted: bool = True
    """False while callbacks do not arrive: polls come sooner and more often."""


def next_look(job: Job, now: Milliseconds, limits: Limits) -> Milliseconds | None:
    """How long until somebody must look at this record again, if nothing happens before; None: never."""
    match job.status:
        case Status.QUEUED:
            # with a place it has a message on its way, which may be lost; without one it waits for a place
            return until_deadline(job, now, limits.work_lease if job.place else job.order.deadline_at - now)
        case Status.SUBMITTING:
            started = job.attempt.started_at if job.attempt else now
            return until_deadline(job, now, started + limits.submit_lease - now)
        case Status.UNKNOWN:
            waiting = bool(job.unknown_until and job.unknown_until > now)
            return until_deadline(job, now, (job.unknown_until or 0) - now if waiting else _pause(job, limits))
        case Status.PROCESSING:
            eta = max(0, job.eta_at - now) if job.eta_at and not job.tries else 0
            return until_deadline(job, now, eta + _pause(job, limits))
        case Status.STORING:
            return until_deadline(job, now, _pause(job, limits))
    return next_late_look(job, now)


def _pause(job: Job, limits: Limits) -> Milliseconds:
    """Growing pauses: collecting 0.5 s to 10 s, polling 2 s to 60 s (10 s while callbacks do not arrive)."""
    if job.status is Status.STORING:
        return min(10 * SECOND, (SECOND // 2) << min(job.tries, 10))
    longest = 60 if limits.callbacks_trusted else 10
    return min(longest * SECOND, int(2 * SECOND * 1.5 ** min(job.tries, 20)))


def next_late_look(job: Job, now: Milliseconds) -> Milliseconds | None:
    """After a time-out, what may have been paid for is looked for until the upstream has deleted it."""
    if not job.accepts_late_result or job.charged is False:
        return None
    if not (job.links or any(attempt.request_id for attempt in job.attempts)):
        return None  # only a callback can bring it, and that wakes the job by itself
    if now >= (job.finished_at or now) + LATE_SECONDS * SECOND:
        return None
    return min(3600 * SECOND, (10 * SECOND) << min(job.tries, 9))


def can_end_in_time(job: Job, now: Milliseconds, quickest: Milliseconds | None) -> bool:
    """Whether what is left until the deadline is as much as the quickest job of late took, from its intent to its end.

    The quickest, not the usual one: somebody's slow jobs must not keep another's quick ones from being bought.
    """
    return job.order.deadline_at - now >= (LEAST_TO_MAKE if quickest is None else quickest)


def until_deadline(job: Job, now: Milliseconds, wait: Milliseconds) -> Milliseconds:
    return max(0, min(wait, job.order.deadline_at - now))
