"""What is told of the queue, and what the upstream really holds, with real processes: nobody set it by hand."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.processes import KEY, Installation, until

SECONDS = 0.5


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file, with a key that takes one job at a time."""
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, upstream_max_in_flight="1", sandbox_seconds=str(SECONDS)) as installation:
        yield installation


def bill(here: Installation) -> dict[str, Any]:
    shown: dict[str, Any] = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()
    return shown


def test_a_waiting_job_is_told_when_it_will_end(here: Installation) -> None:
    """Its position and a number of seconds, that grows with those before it; the upstream's own clients as well."""
    here.reaches(here.post("a first one")["id"], "succeeded")
    here.post("in work [[delay=6]]")
    second, third = here.post("second"), here.post("third")
    assert (second["position"], third["position"]) == (0, 1)
    shown = here.job(third["id"])
    assert shown["position"] == 1
    assert SECONDS <= second["eta_seconds"] < shown["eta_seconds"] < 60
    body = {"key": KEY, "model_id": "m", "prompt": "by the other door", "width": "64", "height": "64"}
    compatible = here.client.post("/api/v1/enterprise/text2img", json=body).json()
    assert shown["eta_seconds"] < compatible["eta"] < 60, "an eta that is not known is told as a round number"
    here.reaches(third["id"], "succeeded")


def test_a_job_that_would_be_late_is_refused_if_it_asks_for_that(here: Installation) -> None:
    """By what jobs took of late; one with the time is taken."""
    here.reaches(here.post("to learn from")["id"], "succeeded")
    busy = [here.post(f"before it {number}")["id"] for number in range(6)]
    body = {"model_id": "m", "prompt": "hasty", "deadline_seconds": 1, "deadline_policy": "refuse"}
    refused = here.client.post("/v1/jobs", json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, "deadline_unreachable")
    assert here.client.post("/v1/jobs", json=body | {"deadline_seconds": 600}).status_code == 202
    here.reaches(busy[-1], "succeeded")


def test_what_cannot_end_in_time_is_not_bought(here: Installation) -> None:
    """It got its place too late for anything that was made of late."""
    until(lambda: bill(here)["in_flight"] == 0, what="an idle upstream")
    first = here.post("in work [[delay=2.5]]")
    hasty = here.post("it gets its place with less than half a second left", deadline_seconds=3)
    ended = here.reaches(hasty["id"], "expired")
    assert ended["explain"] == "Its turn came too late for a result before its deadline; nothing was bought."
    assert (ended["charged"], ended["attempts"], here.bill(hasty["id"])) == (False, [], [])
    here.reaches(first["id"], "succeeded")


def test_the_upstream_never_holds_more_than_it_may_however_short_the_deadlines_are(here: Installation) -> None:
    """A deadline is ours: the place is free when the upstream is done, and then it is used again."""
    until(lambda: bill(here)["in_flight"] == 0, what="an idle upstream")
    hasty = [here.post(f"longer than it may [[delay=5]] {number}", deadline_seconds=2)["id"] for number in range(8)]
    patient = here.post("with the time")
    ends = [here.reaches(each, "expired", "succeeded") for each in hasty]
    assert any(each["late"] for each in [here.reaches(hasty[0], "succeeded")]), "its late result was adopted"
    here.reaches(patient["id"], "succeeded")
    assert len(ends) == len(hasty)
    assert bill(here)["max_in_flight"] == 1
