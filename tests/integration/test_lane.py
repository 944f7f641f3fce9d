"""The lane: nobody is left behind, nobody waits longer than promised, and nothing runs after it was given up."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from worker.store.clock import STEP_MS
from worker.store.connection import connect
from worker.store.lane import MOST_CALLS_PER_TRIP, MOST_WAITING, Lane, RedisUnavailable
from worker.store.loaded import load

pytestmark = pytest.mark.leaves_keys("its keys are of no job: what is asked is how a command travels")
TIMEOUT = 1.0


@pytest.fixture
async def lane(redis_url: str) -> AsyncIterator[Lane]:
    """A lane with a short time-out on the emptied server."""
    lane = Lane(connect(redis_url, TIMEOUT), TIMEOUT)
    yield lane
    await lane.aclose()


@pytest.fixture
async def patient(redis_url: str) -> AsyncIterator[Lane]:
    """A lane whose time-out cannot come to the help of a call that was left behind."""
    lane = Lane(connect(redis_url, 60), 60)
    yield lane
    await lane.aclose()


@contextmanager
def stopped(server: EmbeddedRedis) -> Iterator[Callable[[], None]]:
    """The server does nothing, as a machine that swaps; going on is asked for, or happens at the end."""
    assert server.pid
    os.kill(server.pid, signal.SIGSTOP)
    go_on = lambda: os.kill(server.pid or 0, signal.SIGCONT)  # noqa: E731
    try:
        yield go_on
    finally:
        go_on()


async def in_step(lane: Lane, rounds: Iterable[int], ask: Callable[[Lane], Awaitable[None]]) -> None:
    """Callers that ask so often, each again in the very turn in which it is answered.

    With different numbers there are turns in which all trips end and one caller goes on: no other call starts its trip.
    """

    async def one(times: int) -> None:
        for _ in range(times):
            await ask(lane)

    await asyncio.gather(*(one(times) for times in rounds))


async def answered(lane: Lane) -> None:
    """One call, answered."""
    assert await lane.call("PING") == b"PONG"


async def away(lane: Lane) -> None:
    """One call, told that there is no server."""
    with pytest.raises(RedisUnavailable):
        await lane.call("PING")


@pytest.mark.parametrize("callers", [2, MOST_CALLS_PER_TRIP + 1, 2 * MOST_CALLS_PER_TRIP])
async def test_no_call_is_left_behind(patient: Lane, callers: int) -> None:
    """Everybody is answered, also who asks in the turn in which the trips end, alone or with others."""
    async with asyncio.timeout(30):
        for each in range(50):
            await in_step(patient, [1 + (number == each % callers) for number in range(callers)], answered)
            await in_step(patient, [1 + (number + each) % 5 for number in range(callers)], answered)


@pytest.mark.parametrize("callers", [2, 3, MOST_CALLS_PER_TRIP + 1])
async def test_no_call_is_left_behind_without_redis(callers: int) -> None:
    """Where there is no server every call is told so, long before its time-out, whichever turn it is made in."""
    lane = Lane(connect(f"redis://127.0.0.1:{free_port()}/0", 60), 60)
    async with asyncio.timeout(30):
        for each in range(20):
            await in_step(lane, [1 + (number == each % callers) for number in range(callers)], away)
    await lane.aclose()


async def test_a_call_waits_no_longer_than_the_timeout(lane: Lane, redis_server: EmbeddedRedis) -> None:
    """However long Redis hangs and however many ask: each is told within the time-out, and was not done afterwards."""
    await lane.run(load, job_id="nobody")
    waits: list[float] = []

    async def one(number: int) -> None:
        await asyncio.sleep(number / 200)
        began = time.monotonic()
        with pytest.raises(RedisUnavailable):
            await lane.write("SET", f"written:{number}", "1")
        waits.append(time.monotonic() - began)

    with stopped(redis_server):
        await asyncio.gather(*(one(number) for number in range(600)))
    assert len(waits) == 600
    assert max(waits) < TIMEOUT * 2
    await asyncio.sleep(0.2)
    assert await lane.call("KEYS", "written:*") == []


async def test_the_waiting_list_is_bounded(lane: Lane, redis_server: EmbeddedRedis) -> None:
    """Beyond the bound a call is told at once."""
    await lane.run(load, job_id="nobody")
    with stopped(redis_server):
        calls = [asyncio.ensure_future(lane.call("PING")) for _ in range(MOST_WAITING + 3 * MOST_CALLS_PER_TRIP)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [str(each) for each in results].count("too many calls wait for Redis already")
    assert refused >= MOST_CALLS_PER_TRIP
    assert all(isinstance(each, RedisUnavailable) for each in results)


async def test_a_script_that_comes_too_late_does_nothing(lane: Lane, redis: Redis, redis_server: EmbeddedRedis) -> None:
    """What Redis executes after we gave up on it changes nothing: its bytes were in flight, and are executed."""
    await lane.write("SET", "before", "1")
    with stopped(redis_server):
        with pytest.raises(RedisUnavailable):
            await lane.write("SET", "after", "1")
        with pytest.raises(RedisUnavailable):
            await lane.call("PING")
    assert redis.get("before") == b"1"
    assert redis.get("after") is None
    assert await lane.write("SET", "later", "1") == b"OK"


@pytest.mark.parametrize("wrong", [-3_600_000, -1_900, 1_900, 3_600_000])
async def test_a_wrong_belief_of_the_clock_costs_one_question_more(lane: Lane, redis: Redis, wrong: int) -> None:
    """A machine's own time that is off, or a clock that was set a little: corrected, and asked again, as nothing was
    done the first time. Nobody says that Redis' clock was set."""
    if abs(wrong) < STEP_MS:
        await lane.run(load, job_id="nobody")
    lane.clock.set(int(time.time() * 1000) + wrong)
    lane.clock.told = abs(wrong) < STEP_MS
    assert await lane.write("INCR", "count") == 1
    assert redis.get("count") == b"1"
    assert redis.hget("clock", "steps") is None
    assert abs(lane.now() - time.time() * 1000) < 1000


async def test_a_write_answers_as_the_command_does(lane: Lane) -> None:
    """Numbers, words, bytes, nothing and errors come back as they would without the script around it."""
    assert await lane.write("HSET", "hash", "a", 1, "b", b"\x00\xff") == 2
    assert await lane.write("SET", "text", "1", "NX") == b"OK"
    assert await lane.write("SET", "text", "1", "NX") is None
    assert await lane.write("GETDEL", "text") == b"1"
    with pytest.raises(Exception, match="WRONGTYPE"):
        await lane.write("SADD", "hash", "a")


async def test_nobody_gets_anothers_answer(patient: Lane, redis_server: EmbeddedRedis) -> None:
    """A trip that was cut leaves its answers behind on a connection that nobody uses again."""
    lane = Lane(patient.redis, TIMEOUT)
    assert await lane.call("ECHO", "before") == b"before"
    with stopped(redis_server) as go_on:
        with pytest.raises(RedisUnavailable):
            await lane.call("ECHO", "mine")
        other = asyncio.ensure_future(lane.call("ECHO", "another"))
        await asyncio.sleep(0.2)
        go_on()
        assert await other == b"another"


async def test_a_caller_that_goes_away_harms_no_other(patient: Lane, redis_server: EmbeddedRedis) -> None:
    """Its answer comes all the same, and is nobody's; who shares its trip is answered."""
    assert await patient.call("ECHO", "before") == b"before"
    with stopped(redis_server) as go_on:
        gone, other = (asyncio.ensure_future(patient.call("ECHO", words)) for words in ("gone", "other"))
        await asyncio.sleep(0.2)
        gone.cancel()
        await asyncio.sleep(0)
        go_on()
        assert await other == b"other"


async def test_a_primary_that_became_a_replica_is_left(lane: Lane, redis: Redis) -> None:
    """Its connection is closed: the next one may reach the new primary. In read-only times nothing was done."""
    await lane.write("SET", "a", "1")
    before = await lane.call("CLIENT", "ID")
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(RedisUnavailable):
            await lane.call("SET", "a", "2")
    finally:
        redis.execute_command("REPLICAOF", "NO", "ONE")
    assert await lane.call("CLIENT", "ID") != before
    assert redis.get("a") == b"1"


async def test_a_burst_is_shared_between_the_connections(patient: Lane) -> None:
    """No trip takes more than its part, so that none is too long for its time-out."""
    await patient.call("PING")
    ids = await asyncio.gather(*(patient.call("CLIENT", "ID") for _ in range(512)))
    assert sorted(Counter(ids).values()) == [256, 256]
