"""Several attempts of one job, late words, wrong ids: whatever is learned of one attempt, nothing is bought in vain."""

from dataclasses import replace

import pytest

from tests.support.jobs import (
    DURATIONS,
    FAILED,
    IMAGE,
    NOW,
    PROCESSING,
    SUBMITTING,
    SUCCESS,
    again,
    attempt,
    job,
    known,
)
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Reason, Taken
from worker.job.attempts import stands_at
from worker.job.record import Failure, Status
from worker.job.timing import SECOND

HOUR = 3600 * SECOND
TAKEN, TAKEN_WITHOUT_ID = ("processing", "77"), ("processing", None)


STANDS = [
    # status of the job, resubmitted, its attempts, where it stands
    (Status.QUEUED, False, (), Status.QUEUED),
    (Status.SUBMITTING, False, ("submitting",), Status.SUBMITTING),
    (Status.SUBMITTING, False, ("refused",), Status.QUEUED),
    (Status.SUBMITTING, False, ("unknown",), Status.UNKNOWN),
    (Status.SUBMITTING, False, (TAKEN,), Status.PROCESSING),
    (Status.SUBMITTING, False, (TAKEN_WITHOUT_ID,), Status.UNKNOWN),
    (Status.SUBMITTING, False, ("failed",), Status.FAILED),
    (Status.QUEUED, True, ("unknown",), Status.QUEUED),  # to be bought again
    (Status.QUEUED, True, (TAKEN,), Status.PROCESSING),  # not any more
    (Status.QUEUED, True, (TAKEN_WITHOUT_ID,), Status.UNKNOWN),
    (Status.QUEUED, True, ("failed",), Status.FAILED),
    (Status.QUEUED, True, ("refused",), Status.QUEUED),
    (Status.SUBMITTING, True, ("unknown", "submitting"), Status.SUBMITTING),
    (Status.SUBMITTING, True, (TAKEN, "submitting"), Status.SUBMITTING),
    (Status.SUBMITTING, True, ("unknown", "refused"), Status.QUEUED),  # the resubmit has not been taken yet
    (Status.SUBMITTING, True, (TAKEN, "refused"), Status.PROCESSING),
    (Status.SUBMITTING, True, ("failed", "refused"), Status.FAILED),
    (Status.SUBMITTING, True, ("unknown", "unknown"), Status.UNKNOWN),
    (Status.SUBMITTING, True, ("unknown", "failed"), Status.UNKNOWN),
    (Status.PROCESSING, True, ("unknown", "failed"), Status.UNKNOWN),
    (Status.UNKNOWN, True, (TAKEN, "unknown"), Status.PROCESSING),
    (Status.PROCESSING, True, (TAKEN, "failed"), Status.PROCESSING),
    (Status.QUEUED, True, ("failed", "unknown"), Status.UNKNOWN),  # 2 may still have a result, and nothing is bought
    (Status.QUEUED, True, ("unknown", "failed"), Status.UNKNOWN),
]


@pytest.mark.parametrize(("status", "resubmitted", "states", "expected"), STANDS)
def test_the_attempts_together_say_where_a_job_stands(
    status: Status, resubmitted: bool, states: tuple[str, ...], expected: Status
) -> None:
    """One rule for every channel."""
    assert stands_at(job(status, known(*states), resubmitted=resubmitted)) is expected


def test_nothing_is_bought_while_an_earlier_attempt_is_known_to_be_taken() -> None:
    """The answer of attempt 1 comes while the job waits to be bought again: it goes on with attempt 1."""
    step = decisions.answered(again("unknown"), 1, Taken(PROCESSING), NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.cause, step.job.charged) == (Status.PROCESSING, "taken", True)
    assert step.due_in is not None
    assert step.due_in < 60 * SECOND, "nobody would ask for it"
    assert decisions.claim(step.job, "key-1", NOW, DURATIONS) is None


def test_a_claim_looks_at_every_attempt() -> None:
    """A record of an older release may be queued although attempt 1 is known to be taken."""
    step = decisions.claim(again(TAKEN), "key-1", NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.PROCESSING
    assert len(step.job.attempts) == 1


def test_what_was_taken_without_an_id_is_not_bought_again_by_hand_either() -> None:
    """`fail` ends it; a retry is a job of its own."""
    held = job(Status.UNKNOWN, known(TAKEN_WITHOUT_ID))
    assert decisions.resolved(held, "resubmit", NOW, DURATIONS) is None
    failed = decisions.resolved(held, "fail", NOW, DURATIONS)
    assert failed is not None
    assert failed.job.status is Status.FAILED


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.UNREACHABLE, Reason.KEY_REFUSED, Reason.REJECTED])
def test_a_refused_resubmit_beside_a_taken_attempt_goes_on_with_that_one(reason: Reason) -> None:
    """Attempt 1 turned out to be taken while attempt 2 was on the wire."""
    noted = decisions.answered(
        again("unknown", "submitting", status=Status.SUBMITTING), 1, Taken(PROCESSING), NOW, DURATIONS
    )
    assert noted is not None
    assert noted.job.status is Status.SUBMITTING
    step = decisions.answered(noted.job, 2, NotTaken(reason), NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.PROCESSING
    assert not step.frees_place


def test_a_refused_resubmit_after_a_failure_fails() -> None:
    """Attempt 1 failed while attempt 2 was on the wire: it is not bought on and on."""
    noted = decisions.called_back(again("unknown", "submitting", status=Status.SUBMITTING), 1, FAILED, NOW, DURATIONS)
    assert noted is not None
    assert noted.job.status is Status.SUBMITTING
    step = decisions.answered(noted.job, 2, NotTaken(Reason.BUSY), NOW, DURATIONS)
    assert step is not None
    assert step.job.error == Failure("upstream_failed", "the upstream failed to generate", "out of memory")


def test_a_refused_resubmit_is_tried_again() -> None:
    """It was allowed, and has not been taken yet."""
    step = decisions.answered(
        again("unknown", "submitting", status=Status.SUBMITTING), 2, NotTaken(Reason.BUSY), NOW, DURATIONS
    )
    assert step is not None
    assert (step.job.status, step.frees_place) == (Status.QUEUED, True)
    assert decisions.claim(step.job, "key-1", NOW, DURATIONS) is not None


def test_a_failed_resubmit_leaves_the_first_attempt_its_chance() -> None:
    """It may have been taken, and paid: its result is still awaited."""
    two = again("unknown", ("processing", "78"), status=Status.PROCESSING)
    step = decisions.called_back(two, 2, replace(FAILED, request_id="78"), NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.UNKNOWN
    won = decisions.called_back(step.job, 1, SUCCESS, NOW, DURATIONS)
    assert won is not None
    assert won.job.status is Status.STORING


def test_a_failure_while_it_waits_to_be_bought_again_ends_it() -> None:
    """Nobody need buy what the upstream cannot make."""
    step = decisions.called_back(again("unknown"), 1, FAILED, NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.FAILED


def test_an_open_answer_beside_a_taken_attempt_asks_for_that_one() -> None:
    """Attempt 2 is open, attempt 1 is known: there is somebody to ask about."""
    step = decisions.answered(
        again(TAKEN, "submitting", status=Status.SUBMITTING), 2, Open("read_timeout"), NOW, DURATIONS
    )
    assert step is not None
    assert step.job.status is Status.PROCESSING


def test_the_upstreams_success_beats_our_inference_that_it_refused() -> None:
    """A JSON 400 ended the job; the success that follows is adopted, late, and collected."""
    refused = decisions.answered(SUBMITTING, 1, NotTaken(Reason.REJECTED, "no"), NOW, DURATIONS)
    assert refused is not None
    step = decisions.called_back(refused.job, 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert step.collects
    assert (step.job.status, step.job.charged) == (Status.FAILED, True)
    done = decisions.collected(step.job, (IMAGE,), 0, NOW, DURATIONS)
    assert done is not None
    assert (done.job.status, done.job.late, done.job.error) == (Status.SUCCEEDED, True, None)


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("callback", [SUCCESS, FAILED])
def test_a_refusal_after_the_upstreams_own_word_changes_nothing_that_was_paid(callback: Answer, reason: Reason) -> None:
    """The callback was quicker than a 429 in its place: charged, the attempt as it ended, and the refusal counted."""
    first = decisions.called_back(SUBMITTING, 1, callback, NOW, DURATIONS)
    assert first is not None
    step = decisions.answered(first.job, 1, NotTaken(reason), NOW, DURATIONS)
    assert step is not None
    assert (step.job.attempts, step.job.status, step.job.charged) == (first.job.attempts, first.job.status, True)
    assert step.job.contradictions == 1
    assert not step.frees_place


def test_a_failure_while_another_attempt_is_open_does_not_end_the_job() -> None:
    """Two are open, a third was asked for by hand, the first has failed: the success of the second is still adopted."""
    step = decisions.called_back(again("unknown", "unknown"), 1, FAILED, NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.UNKNOWN
    step = decisions.called_back(step.job, 2, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.collects) == (Status.STORING, True)


def test_a_refusal_recorded_twice_is_no_contradiction() -> None:
    """Redis' reply to the first write was lost, so the worker decides again."""
    step = decisions.answered(SUBMITTING, 1, NotTaken(Reason.BUSY), NOW, DURATIONS)
    assert step is not None
    assert decisions.answered(step.job, 1, NotTaken(Reason.BUSY), NOW, DURATIONS) is None


def test_a_success_of_an_attempt_that_seemed_refused_is_fetched_although_the_other_failed() -> None:
    """Attempt 1 was busy by our inference, attempt 2 failed: the image of attempt 1 was paid for."""
    ended = job(Status.FAILED, known("refused", "failed"), error=Failure("upstream_failed", "…"), finished_at=90_000)
    step = decisions.called_back(ended, 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert step.collects
    done = decisions.collected(step.job, (IMAGE,), 0, NOW, DURATIONS)
    assert done is not None
    assert (done.job.status, done.job.late, done.job.error) == (Status.SUCCEEDED, True, None)


def test_a_callback_for_a_refusal_that_has_left_the_record_brings_it_back() -> None:
    """Only ten refused attempts are kept; the token proves that there was a first one."""
    later = tuple(attempt("refused", number) for number in range(5, 14))
    step = decisions.called_back(job(attempts=later), 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.charged, step.collects) == (Status.STORING, True, True)
    assert [(each.number, each.status) for each in step.job.attempts[:2]] == [(1, "succeeded"), (5, "refused")]
    assert decisions.called_back(job(attempts=later), 99, SUCCESS, NOW, DURATIONS) is None
    assert decisions.called_back(job(), 1, SUCCESS, NOW, DURATIONS) is None
