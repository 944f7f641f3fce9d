"""Due times: when a job must be looked at again if nothing happens before. Pure; durations are in milliseconds."""

from dataclasses import dataclass

from worker.job.parking import is_given_up
from worker.job.record import Job, Milliseconds, Status

SECOND = 1000
LEAST_TO_MAKE = SECOND // 2
"""The least time to make and store an image, used while nothing is known about the tenant's other jobs."""
LATE_SECONDS = 86_400
"""How long a late result is looked for: as long as the provider keeps images (a test compares the two)."""

LONGEST_ETA_SECONDS = 60
"""The longest time for which an upstream's `eta` delays the next poll."""


@dataclass(frozen=True, slots=True)
class Durations:
    """The durations that decisions depend on, in milliseconds."""

    submit_lease: Milliseconds
    """Longer than any POST can take. After it nobody will record the outcome of the POST."""
    work_lease: Milliseconds
    """After it a worker that recorded nothing is taken for dead."""
    unknown_wait: Milliseconds
    callbacks_trusted: bool = True
    """False while callbacks do not arrive; then polls are earlier and more frequent."""


def next_look(job: Job, now: Milliseconds, durations: Durations) -> Milliseconds | None:
    """Milliseconds until this record is due again if nothing happens before; None: never."""
    match job.status:
        case Status.QUEUED:
            # a job with a place has a message, which may get lost
            return until_deadline(job, now, durations.work_lease) if job.place else until_placed(job, now)
        case Status.SUBMITTING:
            started = job.attempt.started_at if job.attempt else now
            return until_deadline(job, now, started + durations.submit_lease - now)
        case Status.UNKNOWN:
            return until_deadline(job, now, _until_decided(job, now, durations))
        case Status.PROCESSING:
            return until_deadline(job, now, _until_asked(job, now, durations))
        case Status.STORING:
            return until_deadline(job, now, _pause(job, durations))
    return next_late_look(job, now)


def until_placed(job: Job, now: Milliseconds) -> Milliseconds:
    """A job that waits for a place is due at its deadline; a place makes it due earlier (lua/includes/queue.lua)."""
    return max(0, job.order.deadline_at - now)


def _until_decided(job: Job, now: Milliseconds, durations: Durations) -> Milliseconds:
    """Until the policy acts. After that until the deadline, unless a request id is known to poll with."""
    if job.unknown_until and job.unknown_until > now:
        return job.unknown_until - now
    can_be_asked = any(each.request_id and each.status in ("unknown", "processing") for each in job.attempts)
    return _pause(job, durations) if can_be_asked else job.order.deadline_at - now


def _until_asked(job: Job, now: Milliseconds, durations: Durations) -> Milliseconds:
    """Until the upstream's eta, but at most a minute or half of the time that is left: an eta may be wrong by hours."""
    told = min(max(0, (job.eta_at or 0) - now), LONGEST_ETA_SECONDS * SECOND)
    wait = max(_pause(job, durations), told)
    return wait if job.tries else min(wait, (job.order.deadline_at - now) // 2)


def _pause(job: Job, durations: Durations) -> Milliseconds:
    """Growing pauses: collecting 0.5 s to 10 s, polling 2 s to 60 s (10 s while callbacks do not arrive)."""
    if job.status is Status.STORING:
        return min(10 * SECOND, (SECOND // 2) << min(job.tries, 10))
    longest = 60 if durations.callbacks_trusted else 10
    return min(longest * SECOND, int(2 * SECOND * 1.5 ** min(job.tries, 20)))


def next_late_look(job: Job, now: Milliseconds) -> Milliseconds | None:
    """The next look for a late result that may have been paid for, until the upstream has deleted it."""
    if not job.accepts_late_result or job.charged is False:
        return None
    if not (job.links or any(attempt.request_id for attempt in job.attempts)):
        return None  # only a callback can bring it, and a callback wakes the job
    if is_given_up(job):
        return None
    left = late_until(job, now) - now
    # known images are fetched soon; the last look, at the end of the window, takes what has come by then
    first = SECOND // 2 if job.completed_via else 10 * SECOND
    return min(left, 3600 * SECOND, first << min(job.tries, 13)) if left > 0 else None


def late_until(job: Job, now: Milliseconds) -> Milliseconds:
    """Until when a late result of an ended job is looked for."""
    return (job.finished_at or now) + LATE_SECONDS * SECOND


def collected_until(job: Job) -> Milliseconds:
    """Until when missing images are tried again: the deadline; after it the whole window for late results."""
    return late_until(job, job.updated_at) if job.is_terminal else job.order.deadline_at


def can_end_in_time(job: Job, now: Milliseconds, quickest: Milliseconds | None) -> bool:
    """Whether the time until the deadline is at least what the tenant's quickest recent job took, from intent to end.

    The quickest, not the usual time: slow jobs must not keep quick ones from being bought.
    """
    return job.order.deadline_at - now >= (LEAST_TO_MAKE if quickest is None else quickest)


def until_deadline(job: Job, now: Milliseconds, wait: Milliseconds) -> Milliseconds:
    return max(0, min(wait, job.order.deadline_at - now))
