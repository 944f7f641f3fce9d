"""How a job ends, and what a late or second end still changes. Pure; part of decisions.py.

The first end of the first attempt wins. Everything that comes later is recorded and shown.
"""

from dataclasses import replace

from worker.job.answer import Answer
from worker.job.attempts import awaits_result, fail, follow
from worker.job.cost import images_of
from worker.job.record import Attempt, Failure, Image, Job, Milliseconds, Status, Via
from worker.job.step import KeyNews, Step, recorded
from worker.job.timing import Durations, next_late_look


def ended(job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, durations: Durations) -> Step | None:
    """The upstream's part of an attempt is over: the first end wins, later ones are recorded.

    `attempt` is one of the job's, already with what this answer says about it, except its status.
    """
    attempt = replace(attempt, request_id=attempt.request_id or answer.request_id)
    if answer.kind == "success":
        step = _result(job, attempt, answer, via, now, durations)
        return step and replace(step, key_news=KeyNews("heard", attempt.upstream))
    return _upstream_failure(job, attempt, answer, via, now, durations)


def contradicts(attempt: Attempt, answer: Answer) -> bool:
    other_track = answer.track_id is not None and answer.track_id != attempt.track_id
    known = attempt.request_id is not None and answer.request_id is not None
    return other_track or (known and attempt.request_id != answer.request_id)


def contradiction(job: Job, now: Milliseconds, durations: Durations) -> Step:
    return recorded(replace(job, contradictions=job.contradictions + 1), "contradiction", now, durations)


def overdue(job: Job, now: Milliseconds) -> Step:
    if job.status is not Status.STORING:
        expired = expire(job, now)
        return replace(expired, due_in=next_late_look(expired.job, now))
    if job.images:  # some images are stored, and there is no time for the rest
        return succeed(job, job.images, now)
    failure = Failure("images_unavailable", "the images could not be fetched and stored before the deadline")
    return fail(job, "deadline", now, failure)


def succeed(job: Job, images: tuple[Image, ...], now: Milliseconds) -> Step:
    missing = max(0, images_of(job.order.request) - len(images))
    blanked = job.nsfw or any(image.nsfw for image in images)
    stored = replace(job, images=images, images_missing=missing, nsfw=blanked, late=job.is_terminal, error=None)
    done = stored.moved(Status.SUCCEEDED, now)
    return Step(done, "late_result" if job.is_terminal else "stored", None, frees_place=not job.may_be_upstream)


def unreadable(job: Job, now: Milliseconds, durations: Durations) -> Step:
    """Every image is parked: nothing is fetched again, by no later look either."""
    if job.is_terminal:
        return replace(recorded(job, "unreadable", now, durations), due_in=None)
    failure = Failure("images_unreadable", "each try to decode an image ended its decoder, so none is tried again")
    return replace(fail(job, "unreadable", now, failure), due_in=None)


def expire(job: Job, now: Milliseconds) -> Step:
    return Step(job.moved(Status.EXPIRED, now), "deadline", None, frees_place=not job.may_be_upstream)


def _result(
    job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, durations: Durations
) -> Step | None:
    if attempt.status in ("succeeded", "duplicate"):
        return _result_again(job, attempt, answer, via, now, durations)
    if attempt.status == "failed":
        return contradiction(job, now, durations)
    if job.completed_via:  # another attempt has won; this one was paid for as well
        twin = job.with_attempt(replace(attempt, status="duplicate"))
        return replace(recorded(twin, "duplicate_spend", now, durations), frees_place=not twin.may_be_upstream)
    return _first_result(job, attempt, answer, via, now, durations)


def _result_again(
    job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, durations: Durations
) -> Step | None:
    """The attempt has a result already; only its addresses or its request id may be new."""
    noted = job.with_attempt(attempt)
    if attempt.status == "succeeded" and not job.links and answer.links and job.status is not Status.SUCCEEDED:
        found = recorded(replace(noted, links=answer.links), via, now, durations)
        return replace(found, collects=job.status is not Status.CANCELLED)
    known = job.numbered(attempt.number)
    is_new_id = known is not None and attempt.request_id != known.request_id
    return recorded(noted, via, now, durations) if is_new_id else None


def _first_result(
    job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, durations: Durations
) -> Step:
    won = job.with_attempt(replace(attempt, status="succeeded"))
    won = replace(won, links=answer.links, seed=answer.seed, nsfw=answer.nsfw, completed_via=via)
    frees = not won.may_be_upstream  # a newer attempt may still be upstream
    if job.is_terminal and not won.accepts_late_result:
        return replace(recorded(won, via, now, durations), frees_place=frees)
    collecting = won.moved(job.status, now, tries=0) if job.is_terminal else won.moved(Status.STORING, now)
    return Step(collecting, via, durations.work_lease, collects=True, frees_place=frees)


def _upstream_failure(
    job: Job, attempt: Attempt, answer: Answer, via: Via, now: Milliseconds, durations: Durations
) -> Step | None:
    if attempt.status == "failed":
        return None
    if attempt.status in ("succeeded", "duplicate"):
        return contradiction(job, now, durations)
    noted = job.with_attempt(replace(attempt, status="failed", message=answer.message or None))
    if awaits_result(job):
        return follow(noted, via, now, durations)
    return replace(recorded(noted, via, now, durations), frees_place=not noted.may_be_upstream)
