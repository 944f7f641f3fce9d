"""What a POST, a callback or a poll comes to, as tables: is it tried again, and may it be billed again?"""

from dataclasses import replace

import pytest

from tests.support.jobs import (
    DEADLINE,
    DURATIONS,
    FAILED,
    IN_WORK,
    NOW,
    PROCESSING,
    STORING,
    SUBMITTING,
    SUCCESS,
    UNKNOWN,
    attempt,
    job,
)
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.job.record import Failure, Job, Status
from worker.job.timing import next_look

POSTS = [
    # outcome of the POST, status after, may the request be POSTed again by itself, news of the key
    (Taken(SUCCESS), Status.STORING, False, "ok"),
    (Taken(PROCESSING), Status.PROCESSING, False, "ok"),
    (Taken(Answer("processing")), Status.UNKNOWN, False, "ok"),
    (Taken(FAILED), Status.FAILED, False, "ok"),
    (NotTaken(Reason.UNREACHABLE), Status.QUEUED, True, "down"),
    (NotTaken(Reason.BUSY, retry_after_seconds=3), Status.QUEUED, True, "busy"),
    (NotTaken(Reason.KEY_REFUSED, "Invalid API key"), Status.QUEUED, True, "refused"),
    (NotTaken(Reason.MISCONFIGURED), Status.QUEUED, True, "refused"),
    (NotTaken(Reason.REJECTED, "width"), Status.FAILED, False, "ok"),
    (Open("read_timeout"), Status.UNKNOWN, False, "shaky"),
    (Open("http_503"), Status.UNKNOWN, False, "shaky"),
    (Open("unreadable_answer"), Status.UNKNOWN, False, "shaky"),
]


@pytest.mark.parametrize(("outcome", "status", "again", "news"), POSTS)
def test_the_outcome_of_a_post_decides_whether_it_may_be_sent_again(
    outcome: Outcome, status: Status, again: bool, news: str
) -> None:
    """Only what is proven not to have been taken goes back to the queue."""
    step = decisions.answered(SUBMITTING, 1, outcome, NOW, DURATIONS)
    assert step is not None
    assert step.job.status is status
    assert (decisions.claim(step.job, "key-1", NOW, DURATIONS) is not None) is again
    assert step.key_news is not None
    assert step.key_news.kind == news


TWO = (attempt("unknown"), attempt("processing", number=2, request_id="78"))
PLACES = [
    # record, what happens, is its place free then: as soon as the upstream's part of the newest attempt is over
    (SUBMITTING, "deadline", False),
    (UNKNOWN, "deadline", False),
    (IN_WORK, "deadline", False),
    (job(place="key-1"), "deadline", True),
    (STORING, "deadline", True),
    (job(attempts=(attempt("unknown"),), resubmitted=True, place="key-1"), "deadline", True),  # it was not sent again
    (job(attempts=(attempt("unknown"),), resubmitted=True, place="key-1"), "cancel", True),
    (IN_WORK, "cancel", False),
    (UNKNOWN, "fail", False),
    (job(Status.EXPIRED, IN_WORK.attempts), "callback", True),
    (job(Status.CANCELLED, IN_WORK.attempts), "callback", True),
    (job(Status.EXPIRED, IN_WORK.attempts), "failed", True),
    (job(Status.EXPIRED, IN_WORK.attempts), "poll", True),
    (job(Status.EXPIRED, UNKNOWN.attempts), "refused", True),
    (job(Status.EXPIRED, UNKNOWN.attempts), "taken", False),
    (IN_WORK, "callback", True),
    (job(Status.PROCESSING, TWO, resubmitted=True), "callback", False),  # attempt 1 has won, the upstream works on 2
    (job(Status.EXPIRED, TWO, resubmitted=True), "refused", False),
]


@pytest.mark.parametrize(("before", "event", "free"), PLACES)
def test_a_place_is_free_when_the_upstreams_part_is_over(before: Job, event: str, free: bool) -> None:
    """Not when ours is: a deadline, a cancel or a policy does not stop the upstream."""
    steps = {
        "deadline": lambda: decisions.woken(before, DEADLINE, DURATIONS),
        "cancel": lambda: decisions.cancelled(before, NOW),
        "fail": lambda: decisions.resolved(before, "fail", NOW, DURATIONS),
        "callback": lambda: decisions.called_back(before, 1, SUCCESS, NOW, DURATIONS),
        "failed": lambda: decisions.called_back(before, 1, FAILED, NOW, DURATIONS),
        "poll": lambda: decisions.polled(before, 1, SUCCESS, NOW, DURATIONS),
        "refused": lambda: decisions.answered(before, 1, NotTaken(Reason.BUSY), NOW, DURATIONS),
        "taken": lambda: decisions.answered(before, 1, Taken(PROCESSING), NOW, DURATIONS),
    }
    step = steps[event]()
    assert step is not None
    assert step.frees_place is free


CALLBACKS = [
    # record, callback, status after (None: nothing changes)
    (SUBMITTING, SUCCESS, Status.STORING),  # quicker than the answer
    (UNKNOWN, SUCCESS, Status.STORING),
    (IN_WORK, SUCCESS, Status.STORING),
    (IN_WORK, FAILED, Status.FAILED),
    (IN_WORK, PROCESSING, None),
    (IN_WORK, Answer("unreadable"), None),
    (STORING, SUCCESS, None),  # a duplicate
    (job(Status.SUCCEEDED, STORING.attempts, completed_via="callback"), SUCCESS, None),
]


@pytest.mark.parametrize(("before", "answer", "status"), CALLBACKS)
def test_a_callback_is_adopted_in_any_order(before: Job, answer: Answer, status: Status | None) -> None:
    """Before the answer, after it, twice, in between."""
    step = decisions.called_back(before, 1, answer, NOW, DURATIONS)
    assert (step.job.status if step else None) is status


@pytest.mark.parametrize(
    "answer",
    [replace(SUCCESS, track_id="another"), replace(SUCCESS, request_id="999"), replace(FAILED, request_id="999")],
)
def test_a_callback_that_contradicts_its_token_changes_nothing_but_its_count(answer: Answer) -> None:
    """Other track_id, other id: counted, never believed."""
    step = decisions.called_back(IN_WORK, 1, answer, NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.PROCESSING
    assert step.job.contradictions == 1
    assert step.job.links == ()


def test_success_after_a_failure_is_recorded_and_changes_nothing() -> None:
    """And the other way round."""
    failed = job(Status.FAILED, (attempt("failed", request_id="77"),), error=Failure("upstream_failed", "…"))
    succeeded = job(Status.SUCCEEDED, STORING.attempts, completed_via="callback")
    for before, answer in ((failed, SUCCESS), (succeeded, FAILED)):
        step = decisions.called_back(before, 1, answer, NOW, DURATIONS)
        assert step is not None
        assert (step.job.status, step.job.contradictions) == (before.status, 1)


def test_a_lease_that_is_over_leaves_the_question_open() -> None:
    """The worker died between intent and outcome: unknown, never a second POST."""
    assert decisions.woken(SUBMITTING, 50_000 + DURATIONS.submit_lease - 1, DURATIONS) is None
    step = decisions.woken(SUBMITTING, 50_000 + DURATIONS.submit_lease, DURATIONS)
    assert step is not None
    assert (step.job.status, step.cause) == (Status.UNKNOWN, "lease_over")


@pytest.mark.parametrize(
    ("on_unknown", "resubmitted", "status"),
    [
        ("hold", False, Status.UNKNOWN),
        ("resubmit", False, Status.QUEUED),
        ("resubmit", True, Status.UNKNOWN),
        ("fail", False, Status.FAILED),
    ],
)
def test_the_policy_acts_once_the_wait_is_over(on_unknown: str, resubmitted: bool, status: Status) -> None:
    """Hold waits on, resubmit sends once more and only once, fail ends it."""
    waiting = job(
        Status.UNKNOWN, (attempt("unknown"),), on_unknown=on_unknown, resubmitted=resubmitted, unknown_until=NOW
    )
    assert decisions.woken(waiting, NOW - 1, DURATIONS) is None
    step = decisions.woken(waiting, NOW, DURATIONS)
    assert step is not None
    assert step.job.status is status
    assert step.frees_place is (status is Status.QUEUED), "the upstream may have it still"


def test_no_policy_buys_again_what_was_taken_without_an_id() -> None:
    """`processing` without an id was bought: it waits for its callback."""
    taken = decisions.answered(SUBMITTING, 1, Taken(Answer("processing")), NOW, DURATIONS)
    assert taken is not None
    taken = replace(taken, job=replace(taken.job, order=replace(taken.job.order, on_unknown="resubmit")))
    assert taken.job.unknown_until is not None
    step = decisions.woken(taken.job, taken.job.unknown_until, DURATIONS)
    assert step is not None
    assert step.job.status is Status.UNKNOWN


def test_the_wait_of_an_unknown_leaves_its_policy_half_of_the_time() -> None:
    """Never more than half of what is left until the deadline."""
    step = decisions.answered(SUBMITTING, 1, Open("read_timeout"), DEADLINE - 1000, DURATIONS)
    assert step is not None
    assert step.job.unknown_until == DEADLINE - 500


def test_a_poll_that_does_not_know_the_request_is_no_end() -> None:
    """The callback may still come: ask again later."""
    for answer in (Answer("failed", message="Request not found"), None, PROCESSING):
        step = decisions.polled(IN_WORK, 1, answer, NOW, DURATIONS)
        assert step is not None
        assert step.job.status is Status.PROCESSING


def test_polls_come_further_and_further_apart_up_to_a_minute() -> None:
    """From two seconds, ×1.5, and sooner while callbacks are not trusted."""
    pauses = [next_look(replace(IN_WORK, tries=tries), NOW, DURATIONS) for tries in range(0, 20, 4)]
    assert pauses == sorted(pauses)  # type: ignore[type-var]
    assert pauses[0] == 2000
    assert pauses[-1] == 60_000
    distrusting = replace(DURATIONS, callbacks_trusted=False)
    assert next_look(replace(IN_WORK, tries=19), NOW, distrusting) == 10_000


def test_an_answer_that_comes_after_the_callback_only_adds_the_request_id() -> None:
    """The worker was slow to record: the callback has won already."""
    called_back = decisions.called_back(SUBMITTING, 1, replace(SUCCESS, request_id=None), NOW, DURATIONS)
    assert called_back is not None
    step = decisions.answered(called_back.job, 1, Taken(PROCESSING), NOW, DURATIONS)
    assert step is not None
    assert step.job.status is Status.STORING
    assert step.job.attempt is not None
    assert (step.job.attempt.status, step.job.attempt.request_id) == ("succeeded", "77")


def test_an_open_answer_that_comes_after_the_callback_changes_nothing() -> None:
    """The connection broke, but the result is known."""
    called_back = decisions.called_back(SUBMITTING, 1, SUCCESS, NOW, DURATIONS)
    assert called_back is not None
    assert decisions.answered(called_back.job, 1, Open("reset"), NOW, DURATIONS) is None


def test_a_success_without_addresses_is_completed_by_one_that_has_them() -> None:
    """And addresses that are known are not replaced by none."""
    bare = decisions.called_back(IN_WORK, 1, Answer("success", request_id="77"), NOW, DURATIONS)
    assert bare is not None
    step = decisions.called_back(bare.job, 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert (step.job.links, step.collects) == (SUCCESS.links, True)
    assert decisions.refreshed(step.job, 1, Answer("success"), NOW, DURATIONS) is None
