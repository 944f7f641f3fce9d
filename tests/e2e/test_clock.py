"""Redis' clock is set by ten minutes under running jobs: each ends once, about when it would have."""

import time
from collections.abc import Iterator

import pytest

from tests.support.processes import Installation
from tests.support.stepped_clock import SteppedRedis, stepped_redis

TEN_MINUTES = 600


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedRedis]:
    """A Redis whose clock can be set."""
    with stepped_redis(tmp_path_factory.mktemp("stepped")) as server:
        yield server


@pytest.fixture
def here(server: SteppedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation on it."""
    installation = Installation(tmp_path_factory.mktemp("installation"), redis_url=server.url)
    installation.redis.start = lambda: None  # type: ignore[method-assign]
    installation.redis.stop = lambda: None  # type: ignore[method-assign]
    with installation:
        yield installation


@pytest.mark.parametrize("step", [-TEN_MINUTES, TEN_MINUTES])
def test_a_step_of_redis_clock_moves_no_deadline_and_buys_nothing_twice(
    here: Installation, server: SteppedRedis, step: int
) -> None:
    """One job whose callback is lost has a deadline of some seconds; another's POST is on the wire when it happens."""
    silent = here.post("a silence [[delay=1000]] [[no-callback]]", deadline_seconds=12)
    began = time.monotonic()
    slow = here.post("a slow answer [[delay=3]]", deadline_seconds=120)
    here.reaches(silent["id"], "processing")
    server.set_by(step)
    quick = here.post("an image", deadline_seconds=60)
    done = here.reaches(quick["id"], "succeeded", seconds=20)
    assert not done["late"]
    assert not here.reaches(slow["id"], "succeeded", seconds=20)["late"]
    here.reaches(silent["id"], "expired", seconds=30)
    assert 11 < time.monotonic() - began < 20
    for job in (silent, slow, quick):
        assert [row["taken"] for row in here.bill(job["id"])] == [True]
    here.kill("worker")  # it waits for messages by Redis' clock, up to half a minute longer
    said = here.log("worker") + here.log("api")
    assert said.count('"clock.stepped"') == 1
