"""One bad moment of an upstream is one, however many POSTs it refuses: one cut of the limit, one trip."""

import asyncio

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, SUCCESS, accepted, advanced, answered, claimed, loaded
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

BUSY = NotTaken(Reason.BUSY, "queue is full")
UNREACHABLE = NotTaken(Reason.UNREACHABLE)
KEY = "upstream:key-1"


async def in_flight(store: JobStore, redis: Redis, jobs: int, waiting: int = 0) -> list[str]:
    """So many POSTs on the wire of one learned key, and so many jobs behind them."""
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    redis.hset(KEY, "limit", jobs)
    ids = [await accepted(store) for _ in range(jobs + waiting)][:jobs]
    for job_id in ids:
        await claimed(store, job_id)
    return ids


async def applied(store: JobStore, job_id: str, outcome: Outcome) -> None:
    """What its POST came to."""
    found = await loaded(store, job_id)
    number = found.job.attempt.number if found.job.attempt else 0
    await advanced(store, found, decisions.answered(found.job, number, outcome, found.now, DURATIONS))


async def called_back(store: JobStore, job_id: str) -> None:
    """Its callback says success."""
    found = await loaded(store, job_id)
    assert isinstance(SUCCESS, Taken)
    await advanced(store, found, decisions.called_back(found.job, 1, SUCCESS.answer, found.now, DURATIONS))


def of_key(redis: Redis, field: str) -> int:
    return int(redis.hget(KEY, field) or 0)


def pause_of(redis: Redis) -> int:
    """How long the key rests, from the refusal on that it rests for; 0 where it does not."""
    since = max(of_key(redis, "full_at"), of_key(redis, "tripped_at"))
    return max(0, of_key(redis, "paused_until") - since) if redis.hexists(KEY, "paused_until") else 0


async def pause_over(store: JobStore, redis: Redis) -> list[str]:
    """The pause of the key passes; who has a place then and waits for its worker."""
    redis.hset(KEY, "paused_until", 0)
    await store.queue.tick()
    placed = [each.decode() for each in redis.zrange("places:key-1", 0, -1)]
    return [each for each in placed if (await loaded(store, each)).job.status.value == "queued"]


async def test_twenty_refusals_of_one_moment_are_one_cut(store: JobStore, redis: Redis) -> None:
    """Three quarters of what was held at the first one; one window; then one try, and all of it again."""
    await asyncio.gather(*(applied(store, each, BUSY) for each in await in_flight(store, redis, 20)))
    assert (of_key(redis, "limit"), of_key(redis, "window")) == (14, 60_000)
    (tried,) = await pause_over(store, redis)
    await answered(store, tried, Taken(Answer("processing", request_id="7", eta_seconds=5)))
    assert redis.zcard("places:key-1") == 14, "one that was taken lets the others go"


async def test_a_queue_that_stays_full_is_tried_with_one_job_and_growing_pauses(store: JobStore, redis: Redis) -> None:
    """The limit is not cut again; a taken one ends it all."""
    await asyncio.gather(*(applied(store, each, BUSY) for each in await in_flight(store, redis, 8)))
    pauses = [pause_of(redis)]
    for _ in range(7):
        (tried,) = await pause_over(store, redis)
        await answered(store, tried, BUSY)
        pauses.append(pause_of(redis))
    assert of_key(redis, "limit") == 5
    expected = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
    assert all(short <= pause <= short * 1.25 for pause, short in zip(pauses, expected, strict=True)), pauses
    (tried,) = await pause_over(store, redis)
    await answered(store, tried, Taken(Answer("processing", request_id="7")))
    assert redis.hget(KEY, "paused_until") is None
    (following, *_) = await pause_over(store, redis)
    await answered(store, following, BUSY)
    assert pause_of(redis) <= 1250, "the pauses begin anew"


async def test_a_try_that_never_asks_gives_its_turn_to_the_next(store: JobStore, redis: Redis) -> None:
    """Cancelled before it was sent: the key is not left alone for a lease."""
    await asyncio.gather(*(applied(store, each, BUSY) for each in await in_flight(store, redis, 3)))
    (tried,) = await pause_over(store, redis)
    found = await loaded(store, tried)
    await advanced(store, found, decisions.cancelled(found.job, found.now))
    placed = [each.decode() for each in redis.zrange("places:key-1", 0, -1)]
    assert len(placed) == 1
    assert placed != [tried]


async def test_an_open_answer_to_a_try_does_not_leave_the_key_alone(store: JobStore, redis: Redis) -> None:
    """It says nothing of the queue: the next is tried at once."""
    await asyncio.gather(*(applied(store, each, BUSY) for each in await in_flight(store, redis, 3)))
    (tried,) = await pause_over(store, redis)
    await answered(store, tried, Open("read_timeout"))
    assert pause_of(redis) == 0 or redis.zcard("places:key-1") == 2


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.KEY_REFUSED, Reason.MISCONFIGURED])
async def test_twenty_refused_connections_of_one_moment_trip_once(
    store: JobStore, redis: Redis, reason: Reason
) -> None:
    """Half a second of pause; then one try, and each try that fails doubles it."""
    await asyncio.gather(*(applied(store, each, NotTaken(reason)) for each in await in_flight(store, redis, 20)))
    assert 374 <= pause_of(redis) <= 625
    pauses = []
    for _ in range(9):
        (tried,) = await pause_over(store, redis)
        await answered(store, tried, NotTaken(reason))
        pauses.append(pause_of(redis))
    doubled = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    assert all(0.75 * due - 1 <= pause <= 1.25 * due for pause, due in zip(pauses, doubled, strict=True)), pauses


async def test_a_slow_refusal_of_the_same_moment_does_not_trip_a_healed_key_again(
    store: JobStore, redis: Redis
) -> None:
    """Its POST went out before."""
    first, slow = await in_flight(store, redis, 2)
    await applied(store, first, UNREACHABLE)
    (tried,) = await pause_over(store, redis)
    await answered(store, tried, Taken(Answer("processing", request_id="7")))
    assert (redis.hget(KEY, "failures"), redis.hget(KEY, "paused_until")) == (None, None)
    await applied(store, slow, UNREACHABLE)
    assert redis.hget(KEY, "failures") is None


async def test_five_open_answers_in_a_row_are_an_outage_and_twenty_are_not_four(store: JobStore, redis: Redis) -> None:
    """Four are an accident; what went out before the breaker tripped does not make its pause longer."""
    ids = await in_flight(store, redis, 20)
    for job_id in ids[:4]:
        await applied(store, job_id, Open("read_timeout"))
    assert pause_of(redis) == 0
    for job_id in ids[4:]:
        await applied(store, job_id, Open("read_timeout"))
    assert 374 <= pause_of(redis) <= 625


async def test_results_of_posts_without_an_answer_heal_the_key(store: JobStore, redis: Redis) -> None:
    """Each answer is lost, each callback comes: the upstream works."""
    ids = await in_flight(store, redis, 12)
    for job_id in ids:
        await applied(store, job_id, Open("read_timeout"))
    assert of_key(redis, "failures") == 1
    await called_back(store, ids[0])
    assert [redis.hget(KEY, each) for each in ("failures", "strains", "paused_until", "reason", "tried")] == [None] * 5


async def test_lost_answers_with_callbacks_between_are_no_outage(store: JobStore, redis: Redis) -> None:
    """A result is as good as an answer: the row of open ones is broken."""
    for job_id in await in_flight(store, redis, 12):
        await applied(store, job_id, Open("read_timeout"))
        await called_back(store, job_id)
    assert redis.hget(KEY, "failures") is None


async def test_an_old_result_does_not_open_a_door_that_is_shut(store: JobStore, redis: Redis) -> None:
    """What was taken before the upstream could not be reached says nothing of whether it can be now."""
    taken, *refused = await in_flight(store, redis, 3)
    await applied(store, taken, Taken(Answer("processing", request_id="7")))
    for job_id in refused:
        await applied(store, job_id, UNREACHABLE)
    await called_back(store, taken)
    assert of_key(redis, "failures") == 1
    assert pause_of(redis) > 0
