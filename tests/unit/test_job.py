"""The record and its table of transitions."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.job.ids import attempt_track_id, created_at, is_job_id, new_job_id, parse_track_id
from worker.job.record import TERMINAL, TRANSITIONS, Attempt, ForbiddenTransition, Job, Order, Status

ORDER = Order("01M859N4P0ZK88SXJWVC1PBXXR", "acme", 1000, 61_000, {"prompt": "a cat", "model_id": "m"})


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_a_status_follows_another_exactly_as_the_table_says(before: Status, after: Status) -> None:
    """Every status × every status: allowed as in the table, refused otherwise."""
    job = Job(ORDER, status=before)
    if after is before or after in TRANSITIONS[before]:
        assert job.moved(after, 2000).status is after
    else:
        with pytest.raises(ForbiddenTransition):
            job.moved(after, 2000)


def test_the_diagram_in_the_docs_is_the_table_in_the_code() -> None:
    """docs/states.md draws exactly the arrows of TRANSITIONS, and has a heading for each status."""
    text = Path("docs/states.md").read_text()
    drawn = set(re.findall(r"^    (\S+) --> (\S+)$", text, re.MULTILINE))
    coded = {(before or "[*]", after) for before, row in TRANSITIONS.items() for after in row}
    assert drawn == {(str(before), str(after)) for before, after in coded}
    assert set(re.findall(r"^## (\w+)$", text, re.MULTILINE)) == {status.value for status in Status}


def test_only_a_late_result_leaves_a_terminal_status() -> None:
    """A finished job never goes back to work."""
    assert all(TRANSITIONS[status] <= {Status.SUCCEEDED} for status in TERMINAL)


def test_every_step_makes_the_version_grow_by_one() -> None:
    """Also where the status stays."""
    job = Job(ORDER)
    assert job.moved(Status.QUEUED, 2000).version == job.version + 1
    assert job.moved(Status.SUBMITTING, 2000).version == job.version + 1


@pytest.mark.parametrize(
    ("statuses", "charged"),
    [
        ([], False),
        (["refused"], False),
        (["refused", "submitting"], None),
        (["unknown"], None),
        (["unknown", "processing"], True),
        (["processing"], True),
        (["failed"], True),
        (["duplicate"], True),
    ],
)
def test_charged_is_honest(statuses: list[str], charged: bool | None) -> None:
    """True only where it was taken, False only where it is proven that it was not."""
    attempts = tuple(Attempt(n, f"t-{n}", "key", 0, status) for n, status in enumerate(statuses, 1))
    assert Job(ORDER, attempts=attempts).charged is charged


@given(st.integers(min_value=0, max_value=2**48 - 1))
def test_a_job_id_tells_when_it_was_made(now: int) -> None:
    """26 characters, valid, and its first ten are the time."""
    job_id = new_job_id(now)
    assert is_job_id(job_id)
    assert created_at(job_id) == now


def test_ids_sort_by_age() -> None:
    """So that a list can page by id."""
    assert new_job_id(1000) < new_job_id(1001)


@given(st.text(max_size=40))
def test_reading_a_track_id_never_fails(text: str) -> None:
    """Anything but one of ours is None."""
    found = parse_track_id(text)
    if found:
        assert is_job_id(found[0])


def test_a_track_id_names_its_job_and_attempt() -> None:
    """There and back."""
    for number in (7, 12_000, 999_999_999):
        assert parse_track_id(attempt_track_id(ORDER.id, number)) == (ORDER.id, number)
    assert parse_track_id(attempt_track_id(ORDER.id, 1_000_000_000)) is None
