"""Whether a job may be bought now, as tables: claimed once, in time, with an intent before a byte is sent."""

import pytest

from tests.support.jobs import (
    DEADLINE,
    DURATIONS,
    JOB_ID,
    NOW,
    attempt,
    job,
)
from worker.job import decisions
from worker.job.record import Attempt, Status


@pytest.mark.parametrize("status", [each for each in Status if each is not Status.QUEUED])
def test_only_a_queued_job_can_be_claimed(status: Status) -> None:
    """A redelivered message, a second worker, a restarted process: none of them finds a job to POST."""
    assert decisions.claim(job(status, (attempt(),)), "key-1", NOW, DURATIONS) is None


def test_the_intent_has_its_own_track_id_before_anything_is_sent() -> None:
    """And a due time after which its outcome is open."""
    step = decisions.claim(job(), "key-1", NOW, DURATIONS)
    assert step is not None
    assert step.job.attempt == Attempt(1, f"{JOB_ID}-1", "key-1", NOW)
    assert step.due_in == DURATIONS.submit_lease


def test_each_attempt_has_a_new_number_also_when_old_refusals_are_dropped() -> None:
    """Twelve refusals later the track_id is still fresh, and the record is bounded."""
    refused = tuple(attempt("refused", number) for number in range(1, 13))
    step = decisions.claim(job(attempts=refused), "key-1", NOW, DURATIONS)
    assert step is not None
    assert step.job.attempt is not None
    assert step.job.attempt.number == 13
    assert len(step.job.attempts) == decisions.KEPT_REFUSED_ATTEMPTS + 1


def test_a_job_past_its_deadline_expires_instead_of_being_bought() -> None:
    """The claim itself refuses it."""
    step = decisions.claim(job(), "key-1", DEADLINE, DURATIONS)
    assert step is not None
    assert step.job.status is Status.EXPIRED
    assert step.job.charged is False


IN_TIME = [
    # ms left until the deadline, ms that the quickest job of late took (None: nothing is known), is it bought
    (499, None, False),
    (500, None, True),
    (5999, 6000, False),
    (6000, 6000, True),
    (100, 80, True),  # quicker than anybody thought
]


@pytest.mark.parametrize(("left", "quickest", "bought"), IN_TIME)
def test_what_cannot_end_in_time_is_not_bought(left: int, quickest: int | None, bought: bool) -> None:
    """It ends at once, its place goes to somebody else, and nothing was charged."""
    before = job(place="key-1")
    step = decisions.claim(before, "key-1", DEADLINE - left, DURATIONS, quickest=quickest)
    assert step is not None
    if bought:
        assert (step.job.status, step.cause) == (Status.SUBMITTING, "intent")
    else:
        assert (step.job.status, step.cause, step.frees_place) == (Status.EXPIRED, "no_time", True)
        assert (step.job.attempts, step.job.charged) == ((), False)


def test_an_earlier_attempt_is_still_looked_for_when_there_is_no_time_for_another() -> None:
    """It may have been bought: its result turns the end into `succeeded`."""
    before = job(attempts=(attempt("unknown", request_id="77"),), resubmitted=True)
    step = decisions.claim(before, "key-1", DEADLINE - 10, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.charged) == (Status.EXPIRED, None)
    assert step.due_in is not None


def test_an_intent_whose_reply_was_lost_goes_back_unsent_by_its_own_worker_only() -> None:
    """It knows that it sent nothing; any other worker knows nothing."""
    step = decisions.claim(job(), "key-1", NOW, DURATIONS, "me")
    assert step is not None
    assert decisions.never_sent(step.job, "another", NOW, DURATIONS) is None
    back = decisions.never_sent(step.job, "me", NOW, DURATIONS)
    assert back is not None
    assert (back.job.status, back.job.charged) == (Status.QUEUED, False)
