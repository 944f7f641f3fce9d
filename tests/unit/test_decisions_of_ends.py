"""What follows from an end, as tables: late results, deadlines, cancels, images that are missing."""

from dataclasses import replace

import pytest

from tests.support.jobs import (
    DEADLINE,
    DURATIONS,
    IMAGE,
    IN_WORK,
    NOW,
    STORING,
    SUBMITTING,
    SUCCESS,
    attempt,
    job,
)
from worker.job import decisions
from worker.job.answer import NotTaken, Reason
from worker.job.record import Failure, Job, Status


def late(status: Status, code: str | None = None) -> Job:
    error = Failure(code, "…") if code else None
    return job(status, (attempt("unknown"),), error=error, finished_at=90_000)


@pytest.mark.parametrize(
    "before", [late(Status.EXPIRED), late(Status.FAILED, "submit_unknown"), late(Status.FAILED, "images_unavailable")]
)
def test_a_late_result_is_adopted(before: Job) -> None:
    """Paid is never lost: the images are fetched, and then the end becomes `succeeded`, marked late."""
    step = decisions.called_back(before, 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert step.collects
    assert step.job.status is before.status
    done = decisions.collected(step.job, (IMAGE,), 0, NOW, DURATIONS)
    assert done is not None
    assert (done.job.status, done.job.late, done.job.error) == (Status.SUCCEEDED, True, None)


def test_a_result_after_a_cancel_is_recorded_and_not_fetched() -> None:
    """Cancelled is final; what it cost is shown."""
    step = decisions.called_back(job(Status.CANCELLED, (attempt("unknown"),)), 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert not step.collects
    assert step.job.status is Status.CANCELLED
    assert step.job.charged is True


def test_the_second_paid_result_of_another_attempt_is_shown_as_duplicate() -> None:
    """It changes nothing but the record of what was paid."""
    two = (attempt("unknown", 1), attempt("succeeded", 2, request_id="78"))
    step = decisions.called_back(
        job(Status.SUCCEEDED, two, completed_via="answer", images=(IMAGE,)), 1, SUCCESS, NOW, DURATIONS
    )
    assert step is not None
    assert step.cause == "duplicate_spend"
    assert [each.status for each in step.job.attempts] == ["duplicate", "succeeded"]
    assert step.job.status is Status.SUCCEEDED


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SUBMITTING, Status.UNKNOWN, Status.PROCESSING])
def test_every_open_job_expires_at_its_deadline(status: Status) -> None:
    """Without any callback having to come."""
    step = decisions.woken(job(status, (attempt("unknown"),), unknown_until=None), DEADLINE, DURATIONS)
    assert step is not None
    assert step.job.status is Status.EXPIRED


def test_storing_succeeds_only_when_nothing_is_outstanding() -> None:
    """Until then it tries again with growing pauses, keeping what it has."""
    step = decisions.collected(STORING, (), 1, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.due_in) == (Status.STORING, 1000)
    again = decisions.collected(step.job, (IMAGE,), 0, NOW, DURATIONS)
    assert again is not None
    assert (again.job.status, again.due_in) == (Status.SUCCEEDED, None)


def test_a_request_that_does_not_say_how_many_asked_for_one() -> None:
    """Then none is missing."""
    one = replace(STORING, order=replace(STORING.order, request={"prompt": "a cat"}))
    step = decisions.collected(one, (IMAGE,), 0, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.images_missing) == (Status.SUCCEEDED, 0)


def test_fewer_images_than_asked_for_is_success_that_says_so() -> None:
    """`images_missing` counts them."""
    two = replace(STORING, order=replace(STORING.order, request={"samples": 2}))
    step = decisions.collected(two, (IMAGE,), 0, NOW, DURATIONS)
    assert step is not None
    assert step.job.images_missing == 1


def test_images_that_never_come_fail_at_the_deadline_and_are_still_looked_for() -> None:
    """The result was paid for: it is looked for until the upstream has deleted it."""
    step = decisions.woken(STORING, DEADLINE, DURATIONS)
    assert step is not None
    assert step.job.error is not None
    assert (step.job.status, step.job.error.code) == (Status.FAILED, "images_unavailable")
    assert step.due_in is not None


def test_what_is_stored_at_the_deadline_is_success() -> None:
    """Half of the images are better than a failure."""
    step = decisions.woken(replace(STORING, images=(IMAGE,)), DEADLINE, DURATIONS)
    assert step is not None
    assert step.job.status is Status.SUCCEEDED


def test_a_job_that_kills_its_worker_is_parked() -> None:
    """After three stalls it is not tried a fourth time."""
    assert decisions.woken(replace(STORING, stalls=decisions.MAX_STALLS), NOW, DURATIONS) is None
    step = decisions.woken(replace(STORING, stalls=decisions.MAX_STALLS + 1), NOW, DURATIONS)
    assert step is not None
    assert step.job.error is not None
    assert step.job.error.code == "stalled"


@pytest.mark.parametrize(
    ("before", "charged", "frees_place"),
    [(job(), False, True), (SUBMITTING, None, False), (IN_WORK, True, False), (STORING, True, True)],
)
def test_cancel_tells_honestly_whether_it_was_charged(before: Job, charged: bool | None, frees_place: bool) -> None:
    """The upstream cannot be told, so its place is not free either."""
    step = decisions.cancelled(before, NOW)
    assert step is not None
    assert (step.job.charged, step.frees_place) == (charged, frees_place)


def test_two_collectors_that_overlap_lose_nothing_of_each_other() -> None:
    """What one has recorded the other's older view does not take away."""
    four = replace(STORING, order=replace(STORING.order, request={"samples": 4}))
    first = decisions.collected(four, tuple(replace(IMAGE, index=n) for n in (0, 1, 2)), 1, NOW, DURATIONS)
    assert first is not None
    second = decisions.collected(first.job, (replace(IMAGE, index=3),), 3, NOW, DURATIONS)
    assert second is not None
    assert [image.index for image in second.job.images] == [0, 1, 2, 3]
    assert (second.job.status, second.job.images_missing) == (Status.SUCCEEDED, 0)


def test_a_refusal_after_a_cancel_gives_the_place_back() -> None:
    """Nothing works on it upstream."""
    cancelled = decisions.cancelled(SUBMITTING, NOW)
    assert cancelled is not None
    step = decisions.answered(cancelled.job, 1, NotTaken(Reason.BUSY), NOW, DURATIONS)
    assert step is not None
    assert step.frees_place
