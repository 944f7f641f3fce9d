"""What comes late, or from somebody else: asked for in time, believed of its own request only."""

from dataclasses import replace

import pytest

from tests.support.jobs import (
    DEADLINE,
    DURATIONS,
    FAILED,
    IMAGE,
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
from worker.job.answer import Answer, Taken
from worker.job.record import Job, Status
from worker.job.timing import LATE_SECONDS, SECOND, next_look

HOUR = 3600 * SECOND


FOREIGN = [replace(SUCCESS, request_id="999"), replace(SUCCESS, track_id="another"), replace(FAILED, request_id="999")]


@pytest.mark.parametrize("answer", FOREIGN)
def test_a_poll_that_answers_about_another_request_is_not_believed(answer: Answer) -> None:
    """It is somebody else's image: counted, asked again later."""
    step = decisions.polled(IN_WORK, 1, answer, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.contradictions, step.job.links) == (Status.PROCESSING, 1, ())
    assert step.job.tries == 1, "asked again in a tight loop"
    assert step.due_in


@pytest.mark.parametrize("answer", FOREIGN[:2])
def test_addresses_of_another_request_do_not_replace_ours(answer: Answer) -> None:
    """The fetch that renews dead addresses is matched as well."""
    step = decisions.refreshed(STORING, 1, replace(answer, links=("https://cdn/foreign.png",)), NOW, DURATIONS)
    assert step is not None
    assert (step.job.links, step.job.contradictions) == (STORING.links, 1)


@pytest.mark.parametrize("cause", ["key_unknown", "shared_id"])
def test_nobody_could_be_asked_is_a_look_again_with_its_word(cause: str) -> None:
    """No other account is asked instead."""
    step = decisions.polled(IN_WORK, 1, None, NOW, DURATIONS, cause=cause)
    assert step is not None
    assert (step.cause, step.job.status, step.job.tries) == (cause, Status.PROCESSING, 1)


def test_a_place_whose_key_this_worker_does_not_have_is_handed_back_and_rests() -> None:
    """No other key buys in its place, and the job does not come straight back here."""
    step = decisions.handed_back(job(place="key-gone"), "key_unknown", NOW)
    assert step is not None
    assert (step.job.status, step.frees_place, step.cause) == (Status.QUEUED, True, "key_unknown")
    assert step.key_news is not None
    assert (step.key_news.kind, step.key_news.upstream) == ("down", "key-gone")
    assert decisions.handed_back(job(), "key_unknown", NOW) is None
    assert decisions.handed_back(IN_WORK, "key_unknown", NOW) is None


def expired_with(images: int) -> Job:
    """Expired with nothing known, then called back with that many addresses."""
    late = job(Status.EXPIRED, (attempt("processing", request_id="77"),), finished_at=DEADLINE)
    four = replace(late, order=replace(late.order, request={"samples": images}))
    links = tuple(f"https://cdn/{index}.png" for index in range(images))
    step = decisions.called_back(four, 1, replace(SUCCESS, links=links), DEADLINE + 2000, DURATIONS)
    assert step is not None
    return step.job


def test_a_late_result_has_its_whole_late_window() -> None:
    """One image that answers 404 once after the deadline is asked for again, until the upstream has deleted it."""
    stored = tuple(replace(IMAGE, index=index) for index in (0, 1, 3))
    step = decisions.collected(expired_with(4), stored, 1, DEADLINE + 3000, DURATIONS)
    assert step is not None
    assert step.job.status is Status.EXPIRED
    assert step.due_in is not None
    assert step.due_in <= 2 * SECOND
    done = decisions.collected(step.job, (replace(IMAGE, index=2),), 3, DEADLINE + 9000, DURATIONS)
    assert done is not None
    assert (done.job.status, done.job.images_missing, done.job.late) == (Status.SUCCEEDED, 0, True)


def test_the_last_look_of_the_late_window_is_at_its_end_and_takes_what_there_is() -> None:
    """Three of four images are success; nobody is left to look again."""
    end = DEADLINE + LATE_SECONDS * SECOND
    stored = tuple(replace(IMAGE, index=index) for index in (0, 1, 3))
    waiting = replace(expired_with(4), images=stored, tries=20)
    assert next_look(waiting, end - 5000, DURATIONS) == 5000
    step = decisions.collected(waiting, (), 4, end, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.images_missing, step.due_in) == (Status.SUCCEEDED, 1, None)
    nothing = decisions.collected(replace(waiting, images=()), (), 4, end, DURATIONS)
    assert nothing is not None
    assert (nothing.job.status, nothing.due_in) == (Status.EXPIRED, None)


@pytest.mark.parametrize(
    ("told_seconds", "left_seconds", "first_look_seconds"),
    [(0, 3600, 2), (30, 3600, 30), (7200, 3600, 60), (7200, 20, 10), (0, 3, 1.5), (7200, 3, 1.5)],
)
def test_the_first_question_comes_before_the_deadline_whatever_the_upstream_says(
    told_seconds: float, left_seconds: float, first_look_seconds: float
) -> None:
    """The eta is believed for a minute and for half of what is left."""
    now = int(DEADLINE - left_seconds * SECOND)
    step = decisions.answered(SUBMITTING, 1, Taken(replace(PROCESSING, eta_seconds=told_seconds)), now, DURATIONS)
    assert step is not None
    assert step.due_in == first_look_seconds * SECOND


def test_while_the_eta_is_ahead_it_is_asked_once_a_minute() -> None:
    """An hour of work is not asked for every two seconds."""
    waiting = replace(IN_WORK, tries=1, eta_at=NOW + HOUR)
    assert next_look(waiting, NOW, DURATIONS) == 60 * SECOND


def test_a_held_unknown_is_looked_at_at_its_deadline_and_not_before() -> None:
    """Nothing can be asked: a look every few seconds would be a task that does nothing."""
    held = replace(UNKNOWN, unknown_until=None)
    assert next_look(held, NOW, DURATIONS) == DEADLINE - NOW
    with_an_id = replace(held, attempts=(attempt("unknown", request_id="77"),))
    assert next_look(with_an_id, NOW, DURATIONS) == 2 * SECOND


@pytest.mark.parametrize("answer", [SUCCESS, PROCESSING, FAILED])
def test_the_answer_to_somebody_elses_post_is_not_believed(answer: Answer) -> None:
    """A proxy that mixes up its connections: its image is another tenant's, and ours may have been taken."""
    foreign = Taken(replace(answer, track_id="01M859N4P0ZK88SXJWVC1PBXXS-1"))
    step = decisions.answered(SUBMITTING, 1, foreign, NOW, DURATIONS)
    assert step is not None
    assert (step.job.status, step.job.links, step.job.contradictions) == (Status.UNKNOWN, (), 1)
    assert step.job.attempt is not None
    assert (step.job.attempt.request_id, step.job.attempt.outcome) == (None, "foreign_answer")
    after = decisions.answered(STORING, 1, foreign, NOW, DURATIONS)
    assert after is not None
    assert (after.job.status, after.job.links, after.job.contradictions) == (Status.STORING, STORING.links, 1)
