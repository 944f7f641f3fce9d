"""Redis' clock is set while we run: the time that all share goes on, it is said once, and nothing is early or late."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from config.broker import KEY_PREFIX
from tests.support.stepped_clock import SteppedRedis, stepped_redis
from worker.app import app
from worker.store.connection import connect
from worker.store.jobs import JobStore
from worker.store.lane import Lane
from worker.store.loaded import load
from worker.store.messages import message_template

TIMEOUT = 1.0

TEN_MINUTES = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteppedRedis]:
    """One server whose clock can be set, for the tests of this file."""
    with stepped_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def lanes(server: SteppedRedis) -> AsyncIterator[list[Lane]]:
    """Several processes' lanes on it, emptied, its clock right, each having heard of it; the first one ticks."""
    server.set_by(0)
    with Redis.from_url(server.url) as redis:
        redis.flushall()
    lanes = [Lane(connect(server.url, TIMEOUT), TIMEOUT) for _ in range(4)]
    for lane in lanes:
        await now(lane)
    await ticking(lanes[0])
    yield lanes
    for lane in lanes:
        await lane.aclose()


async def now(lane: Lane) -> int:
    """The time that scripts go by."""
    return int((await lane.run(load, job_id="nobody")).now)


async def ticking(lane: Lane) -> None:
    """One tick of a worker."""
    await JobStore(lane, message_template(app), KEY_PREFIX, 60_000).queue.tick()


@pytest.mark.parametrize("step", [-TEN_MINUTES, TEN_MINUTES, -86_400 * 365, 5, -5])
async def test_a_clock_that_is_set_changes_no_time_of_ours(lanes: list[Lane], server: SteppedRedis, step: int) -> None:
    """Whoever is there sees time go on as before, and whoever comes later does too; one says that it was set."""
    server.set_by(step)
    with capture_logs() as logs:
        times = await asyncio.gather(*(now(lane) for lane in lanes for _ in range(3)))
    right = time.time() * 1000
    assert all(abs(each - right) < 1000 for each in times)
    [said] = [each for each in logs if each["event"] == "clock.stepped"]
    assert abs(said["seconds"] - step) < 1
    newcomer = Lane(connect(server.url, TIMEOUT), TIMEOUT)
    assert abs(await now(newcomer) - right) < 1000
    census = await JobStore(newcomer, message_template(app), KEY_PREFIX, 60_000).condition.census()
    assert (census.clock_steps, round(census.clock_ahead_seconds)) == (1, -step)
    await newcomer.aclose()
    with Redis.from_url(server.url) as redis:
        assert redis.hget("clock", "steps") == b"1"


async def test_set_back_again_it_is_as_if_nothing_had_been(lanes: list[Lane], server: SteppedRedis) -> None:
    """Two steps, counted; the time that all share saw neither."""
    for step in (-TEN_MINUTES, 0):
        server.set_by(step)
        assert abs(await now(lanes[1]) - time.time() * 1000) < 1000
        await ticking(lanes[0])
    with Redis.from_url(server.url) as redis:
        assert redis.hget("clock", "steps") == b"2"


@pytest.mark.parametrize("step", [-60, 60])
async def test_what_it_is_off_wears_off(lanes: list[Lane], server: SteppedRedis, step: int) -> None:
    """20 ms a second towards what Redis' clock shows, without a jump, and not beyond it."""
    server.set_by(step)
    await now(lanes[0])
    with Redis.from_url(server.url) as redis:
        began, rows = float(redis.hget("clock", "since") or 0), []
        for passed in (0, 500, 1500, 3000, 6000):
            redis.hset("clock", "since", int(began - passed * 1000))
            lanes[3].clock.told = False  # as a process that has just come
            seconds, _ = redis.time()
            rows.append(round(await now(lanes[3]) / 1000 - seconds))
    assert rows == pytest.approx([-step, -step * 5 / 6, -step / 2, 0, 0], abs=2)


async def test_a_machine_of_ours_that_stood_still_is_no_step(lanes: list[Lane], server: SteppedRedis) -> None:
    """Its own steady clock is behind, while others have ticked: it is corrected, and time is what it was for them."""
    late = lanes[2]
    late.clock.set(late.now() - TEN_MINUTES * 1000)
    await ticking(lanes[0])
    with capture_logs() as logs:
        assert abs(await now(late) - time.time() * 1000) < 1000
    assert not [each for each in logs if each["event"] == "clock.stepped"]
    with Redis.from_url(server.url) as redis:
        assert redis.hget("clock", "steps") is None


async def test_a_slow_redis_is_no_step(lanes: list[Lane], server: SteppedRedis) -> None:
    """It hangs longer than anybody waits, and goes on."""
    with Redis.from_url(server.url) as redis:
        redis.execute_command("CLIENT", "PAUSE", 3000, "ALL")
        await asyncio.gather(*(now(lane) for lane in lanes), return_exceptions=True)
        redis.execute_command("CLIENT", "UNPAUSE")
        await asyncio.gather(*(now(lane) for lane in lanes))
        assert redis.hget("clock", "steps") is None


async def test_what_lives_by_redis_own_clock_does_not_outlive_a_step_back(
    lanes: list[Lane], server: SteppedRedis, tmp_path: Path
) -> None:
    """The store's absence would hold everything back for as long as the clock was set back."""
    store = JobStore(lanes[0], message_template(app), KEY_PREFIX, 60_000)
    await store.condition.note_images_away("full", 20)
    server.set_by(-TEN_MINUTES)
    await now(lanes[1])
    with Redis.from_url(server.url) as redis:
        assert 0 < redis.ttl("store:away") <= 20
