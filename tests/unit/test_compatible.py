"""The upstream's words, against the recordings of what the provider documents."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.job.ids import new_job_id
from worker.job.record import Failure, Image, Job, Order, Status
from worker.shown.compatible import NOT_FOUND, callback_shape, fetch_shape, job_id_of, public_id, submit_shape
from worker.shown.job import Viewer

RECORDINGS = Path(__file__).parent.parent / "recordings"
NOW = 1_800_000_000_000
VIEWER = Viewer("http://here", (b"secret",), 3_600_000)
JOB = Job(Order(new_job_id(NOW), "acme", NOW, NOW + 1000, {"prompt": "p", "samples": 2}, track_id="t"))
DONE = replace(JOB, status=Status.SUCCEEDED, images=(Image(0, "k.png", "0", 1, 1, "PNG", 1),))
BROKEN = replace(JOB, status=Status.FAILED, error=Failure("upstream_failed", "ours", "theirs"))


def recorded(name: str) -> dict[str, Any]:
    """The body of a recording."""
    body: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text())["body"]
    return body


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (submit_shape(JOB, VIEWER, NOW), "submit-processing"),
        (fetch_shape(JOB, VIEWER, NOW), "fetch-processing"),
        (fetch_shape(DONE, VIEWER, NOW), "fetch-success"),
        (fetch_shape(BROKEN, VIEWER, NOW), "submit-failed"),
        (callback_shape(DONE, VIEWER, NOW), "callback-success"),
        (callback_shape(BROKEN, VIEWER, NOW), "callback-failed"),
    ],
)
def test_every_documented_field_is_there(shape: dict[str, Any], name: str) -> None:
    """Whatever a client may read from the provider's answer, it reads from ours."""
    expected = recorded(name)
    assert expected.keys() <= shape.keys()
    assert shape["status"] == expected["status"]


def test_samples_that_are_null_are_as_if_they_were_left_out() -> None:
    """One image, as everywhere else."""
    request = JOB.order.request | {"samples": None}
    shape = submit_shape(replace(JOB, order=replace(JOB.order, request=request)), VIEWER, NOW)
    assert len(shape["future_links"]) == 1


def test_not_found_is_word_for_word() -> None:
    """Clients compare that text."""
    assert recorded("fetch-not-found") == NOT_FOUND


def test_an_id_survives_there_and_back() -> None:
    """As text and as a number."""
    assert job_id_of(public_id(JOB.id)) == job_id_of(int(public_id(JOB.id))) == JOB.id
