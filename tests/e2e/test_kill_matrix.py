"""kill -9 at every crash point: the same end each time.

Setup: our real processes, one of them told to die at a point. Timeline: a job reaches the point, the process is gone,
a clean one takes over. Proves: accepted is durable, bought at most once, told at least once with one id.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import Installation, until
from tests.support.receiver import Receiver
from worker.crash_points import Point

AT_THE_DOOR = {Point.ACCEPT_WRITTEN, Point.CALLBACK_KEPT}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the whole matrix."""
    folder = tmp_path_factory.mktemp("installation")
    settings = {"upstream_timeout_seconds": "2", "upstream_connect_timeout_seconds": "1", "unknown_wait_seconds": "20"}
    with Installation(folder, **settings) as installation:
        yield installation


@pytest.mark.parametrize("point", list(Point))
def test_a_crash_at_every_recovery_point_ends_the_same(here: Installation, receiver: Receiver, point: Point) -> None:
    """Bought once and told; or, where nobody can know whether it was sent, never bought."""
    module = "api" if point in AT_THE_DOOR else "worker"
    here.kill(module)
    doomed = here.start(module, crash_at=point.value)
    until(lambda: (facts := here.ready()) and facts["workers"] >= 1, what="ready to die")
    deaths = here.log("worker").count("worker.died")
    body = {"model_id": "m", "prompt": f"a cliff at {point}", "width": 64, "height": 64, "webhook": receiver.url}
    # nothing was sent, but nobody can know: held until the deadline, and never bought
    end = "expired" if point is Point.INTENT_WRITTEN else "succeeded"
    body["deadline_seconds"] = 20 if end == "expired" else 120
    headers = {"idempotency-key": point.value}
    try:
        here.client.post("/v1/jobs", json=body, headers=headers)
    except httpx.HTTPError:
        assert point is Point.ACCEPT_WRITTEN
    died = lambda: doomed.poll() is not None or here.log("worker").count("worker.died") > deaths  # noqa: E731
    until(died, what="the process died")
    here.kill(module)
    here.start(module)
    until(here.ready, what="ready again")
    job_id = here.client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    job = here.reaches(job_id, "succeeded", "expired", seconds=60)
    assert job["status"] == end
    assert [row["taken"] for row in here.bill(job_id)].count(True) == (end == "succeeded")
    assert len({each["track_id"] for each in job["attempts"]}) == len(job["attempts"])
    told = until(lambda: receiver.told[job_id], what="told")
    assert {each["status"] for each in told} == {end}
    assert len({head["webhook-id"] for head, _ in receiver.requests}) == 1


def test_every_recovery_point_is_in_the_code() -> None:
    """A point that nothing reaches proves nothing."""
    code = "".join(path.read_text() for folder in ("worker", "api") for path in Path(folder).rglob("*.py"))
    assert [point.name for point in Point if f"reached(Point.{point.name})" not in code] == []
