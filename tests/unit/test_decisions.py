"""What follows from what happened, as tables: whether it is tried again, and whether it may be billed again."""

from dataclasses import replace
from typing import Any

import pytest

from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.job.record import Attempt, Failure, Image, Job, Order, Status
from worker.job.timing import Durations, next_look

JOB_ID = "01M859N4P0ZK88SXJWVC1PBXXR"
NOW, DEADLINE = 100_000, 3_700_000
DURATIONS = Durations(submit_lease=80_000, work_lease=60_000, unknown_wait=300_000)
SUCCESS = Answer("success", request_id="77", links=("https://cdn/a.png",))
PROCESSING = Answer("processing", request_id="77", eta_seconds=5)
FAILED = Answer("failed", request_id="77", message="out of memory")
IMAGE = Image(0, "a/b.png", "ab" * 32, 512, 512, "PNG", 1234)


def job(status: Status = Status.QUEUED, attempts: tuple[Attempt, ...] = (), **changes: Any) -> Job:
    on_unknown = changes.pop("on_unknown", "hold")
    order = Order(JOB_ID, "acme", 1000, DEADLINE, {"prompt": "a cat", "samples": 1}, on_unknown=on_unknown)
    return Job(order, status=status, attempts=attempts, **changes)


def attempt(status: str = "submitting", number: int = 1, **changes: Any) -> Attempt:
    return Attempt(number, f"{JOB_ID}-{number}", "key-1", 50_000, status, **changes)


SUBMITTING = job(Status.SUBMITTING, (attempt(),))
UNKNOWN = job(Status.UNKNOWN, (attempt("unknown"),), unknown_until=400_000)
IN_WORK = job(Status.PROCESSING, (attempt("processing", request_id="77"),))
STORING = job(Status.STORING, (attempt("succeeded", request_id="77"),), links=SUCCESS.links, completed_via="callback")

POSTS = [
    # outcome of the POST, status after, may the request be POSTed again by itself, news of the key
    (Taken(SUCCESS), Status.STORING, False, "ok"),
    (Taken(PROCESSING), Status.PROCESSING, False, "ok"),
    (Taken(Answer("processing")), Status.UNKNOWN, False, "ok"),
    (Taken(FAILED), Status.FAILED, False, "ok"),
    (NotTaken(Reason.UNREACHABLE), Status.QUEUED, True, "down"),
    (NotTaken(Reason.BUSY, retry_after_seconds=3), Status.QUEUED, True, "busy"),
    (NotTaken(Reason.KEY_REFUSED, "Invalid API key"), Status.QUEUED, True, "down"),
    (NotTaken(Reason.MISCONFIGURED), Status.QUEUED, True, "down"),
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


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SUBMITTING, Status.UNKNOWN, Status.PROCESSING])
def test_every_open_job_expires_at_its_deadline(status: Status) -> None:
    """Without any callback having to come."""
    step = decisions.woken(job(status, (attempt("unknown"),), unknown_until=None), DEADLINE, DURATIONS)
    assert step is not None
    assert step.job.status is Status.EXPIRED


def test_the_wait_of_an_unknown_leaves_its_policy_half_of_the_time() -> None:
    """Never more than half of what is left until the deadline."""
    step = decisions.answered(SUBMITTING, 1, Open("read_timeout"), DEADLINE - 1000, DURATIONS)
    assert step is not None
    assert step.job.unknown_until == DEADLINE - 500


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


def test_an_intent_whose_reply_was_lost_goes_back_unsent_by_its_own_worker_only() -> None:
    """It knows that it sent nothing; any other worker knows nothing."""
    step = decisions.claim(job(), "key-1", NOW, DURATIONS, "me")
    assert step is not None
    assert decisions.never_sent(step.job, "another", NOW, DURATIONS) is None
    back = decisions.never_sent(step.job, "me", NOW, DURATIONS)
    assert back is not None
    assert (back.job.status, back.job.charged) == (Status.QUEUED, False)


def test_two_collectors_that_overlap_lose_nothing_of_each_other() -> None:
    """What one has recorded the other's older view does not take away."""
    four = replace(STORING, order=replace(STORING.order, request={"samples": 4}))
    first = decisions.collected(four, tuple(replace(IMAGE, index=n) for n in (0, 1, 2)), 1, NOW, DURATIONS)
    assert first is not None
    second = decisions.collected(first.job, (replace(IMAGE, index=3),), 3, NOW, DURATIONS)
    assert second is not None
    assert [image.index for image in second.job.images] == [0, 1, 2, 3]
    assert (second.job.status, second.job.images_missing) == (Status.SUCCEEDED, 0)


def test_a_success_without_addresses_is_completed_by_one_that_has_them() -> None:
    """And addresses that are known are not replaced by none."""
    bare = decisions.called_back(IN_WORK, 1, Answer("success", request_id="77"), NOW, DURATIONS)
    assert bare is not None
    step = decisions.called_back(bare.job, 1, SUCCESS, NOW, DURATIONS)
    assert step is not None
    assert (step.job.links, step.collects) == (SUCCESS.links, True)
    assert decisions.refreshed(step.job, 1, Answer("success"), NOW, DURATIONS) is None


def test_a_refusal_after_a_cancel_gives_the_place_back() -> None:
    """Nothing works on it upstream."""
    cancelled = decisions.cancelled(SUBMITTING, NOW)
    assert cancelled is not None
    step = decisions.answered(cancelled.job, 1, NotTaken(Reason.BUSY), NOW, DURATIONS)
    assert step is not None
    assert step.frees_place
