"""An image on which decoders die is given up after three of them; the others of its job are not."""

from dataclasses import replace

import pytest

from tests.unit.test_every_step import DEADLINE, DURATIONS, IMAGES, NOW, RECORDS
from worker.job import decisions
from worker.job.codec import encode_doc
from worker.job.parking import MOST_DEATHS, is_given_up, parked
from worker.job.record import Image, Job, Status
from worker.job.step import Step
from worker.job.timing import next_look

STORING = RECORDS["storing"]
EXPIRED = RECORDS["expired, being collected"]


def died(job: Job, *indexes: int, images: tuple[Image, ...] = (), outstanding: int = 0) -> Step:
    """What follows from one try in which a decoder died on each of these images."""
    step = decisions.collected(job, images, outstanding, NOW, DURATIONS, deaths=indexes)
    assert step
    return step


def test_two_deaths_may_be_by_chance() -> None:
    """The image is tried again, after a pause, and the record says how often a decoder died."""
    job = STORING
    for times in range(1, MOST_DEATHS):
        step = died(job, 0, 1, outstanding=2)
        job = step.job
        assert (job.status, parked(job), job.decoder_deaths.count(1)) == (Status.STORING, frozenset(), times)
        assert step.due_in


def test_a_job_of_which_every_image_kills_decoders_ends_at_once() -> None:
    """Not at its deadline, and no later look fetches them again."""
    job = replace(STORING, decoder_deaths=(0, 0, 1, 1))
    step = died(job, 0, 1)
    assert step.job.error
    assert (step.job.status, step.job.error.code, step.due_in) == (Status.FAILED, "images_unreadable", None)
    assert is_given_up(step.job)
    assert next_look(step.job, NOW, DURATIONS) is None
    assert step.job.charged


def test_the_other_images_of_the_job_are_kept() -> None:
    """It succeeds with those, and says how many are missing."""
    job = replace(STORING, decoder_deaths=(1, 1))
    step = died(job, 1, images=IMAGES[:1])
    assert (step.job.status, step.job.images, step.job.images_missing) == (Status.SUCCEEDED, IMAGES[:1], 1)


def test_a_parked_image_does_not_end_what_may_still_come() -> None:
    """The other one is only not there yet."""
    job = replace(STORING, decoder_deaths=(1, 1))
    step = died(job, 1, outstanding=1)
    assert (step.job.status, parked(step.job), is_given_up(step.job)) == (Status.STORING, frozenset({1}), False)
    assert step.due_in


def test_a_late_result_that_kills_decoders_is_looked_for_no_more() -> None:
    """The job has ended; it stays as it is."""
    step = died(replace(EXPIRED, decoder_deaths=(0, 0, 1, 1)), 0, 1)
    assert (step.job.status, step.due_in) == (Status.EXPIRED, None)
    assert next_look(step.job, NOW, DURATIONS) is None


def test_a_deadline_takes_what_there_is() -> None:
    """As without parking."""
    step = decisions.woken(replace(STORING, decoder_deaths=(0, 0, 0), images=IMAGES[1:]), DEADLINE, DURATIONS)
    assert step
    assert (step.job.status, step.job.images_missing) == (Status.SUCCEEDED, 1)


@pytest.mark.parametrize("deaths", [(), (0, 0, 1)])
def test_a_record_says_nothing_of_deaths_that_did_not_happen(deaths: tuple[int, ...]) -> None:
    """It costs no byte where nothing died."""
    assert (b"decoder_deaths" in encode_doc(replace(STORING, decoder_deaths=deaths))) is bool(deaths)
