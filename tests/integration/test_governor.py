"""The upstream's limit over all workers: learned one place at a time, cut by refusals, given back by whatever ends."""

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, accepted, answered, done, order, placed
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Reason, Taken
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit

PROCESSING = Taken(Answer("processing", request_id="7", eta_seconds=5))
BUSY = NotTaken(Reason.BUSY, "queue is full", 3)


def limit(redis: Redis, name: str = "key-1") -> int:
    return int(redis.hget(f"upstream:{name}", "limit") or 0)


async def full(store: JobStore, jobs: int) -> None:
    """A learned key and more jobs than it takes."""
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    for _ in range(jobs):
        await accepted(store)


async def test_a_learned_limit_is_tried_with_one_place_at_a_time(store: JobStore, redis: Redis) -> None:
    """However many answers come at once: one job more, and the next one only when that was taken."""
    await full(store, 20)
    first = placed(redis)
    assert len(first) == 5
    for job_id in first:
        assert limit(redis) == 5, "a round is not over"
        await answered(store, job_id, PROCESSING)
    (probe,) = set(placed(redis)) - set(first)
    assert limit(redis) == 6
    for _ in range(5):
        await end(store, placed(redis)[0])
        for job_id in set(placed(redis)) - {probe}:
            if await status(store, job_id) == "queued":
                await answered(store, job_id, PROCESSING)
    assert limit(redis) == 6, "the probe itself has not been answered"
    await answered(store, probe, PROCESSING)
    assert redis.hget("upstream:key-1", "probing") is None


async def test_a_refused_probe_costs_one_refusal_a_window(store: JobStore, redis: Redis) -> None:
    """The limit is what was held; no other place is tried before the window is over, and each refusal doubles it."""
    await full(store, 60)
    await answered(store, await probe_of(store, redis), BUSY)
    assert limit(redis) == 5
    redis.hset("upstream:key-1", "paused_until", 0)
    await turn_over(store, redis, 10)
    assert (limit(redis), len(placed(redis))) == (5, 5), "tried again before the window was over"
    redis.hset("upstream:key-1", "probe_at", 0)
    await answered(store, await probe_of(store, redis), BUSY)
    assert limit(redis) == 5
    assert redis.hget("upstream:key-1", "window") == b"120000"


async def test_a_refusal_that_is_no_probe_says_that_the_limit_is_too_high(store: JobStore, redis: Redis) -> None:
    """Jobs that had ended upstream were still counted here: below what is held, and not tried again at once."""
    await full(store, 20)
    await answered(store, placed(redis)[0], BUSY)
    assert (limit(redis), redis.hget("upstream:key-1", "window")) == (3, b"60000")


async def turn_over(store: JobStore, redis: Redis, jobs: int) -> None:
    """So many jobs are taken and end, one after another, on a full key."""
    for _ in range(jobs):
        for job_id in placed(redis):
            if await status(store, job_id) == "queued":
                await answered(store, job_id, PROCESSING)
        await end(store, next(iter([each for each in placed(redis) if await status(store, each) == "processing"])))


async def probe_of(store: JobStore, redis: Redis) -> str:
    """The job that has the place which is tried, once a round is over."""
    for _ in range(40):
        if probing := redis.hget("upstream:key-1", "probing"):
            return probing.decode()
        waiting = [each for each in placed(redis) if await status(store, each) == "queued"]
        if waiting:
            await answered(store, waiting[0], PROCESSING)
        else:
            await end(store, placed(redis)[0])
    raise AssertionError("no place is tried")


async def status(store: JobStore, job_id: str) -> str:
    found = await store.load(job_id)
    assert found is not None
    return found.job.status.value


async def end(store: JobStore, job_id: str) -> None:
    """The callback of a job."""
    found = await store.load(job_id)
    assert found is not None
    success = Answer("success", request_id="7", links=("https://cdn/a.png",))
    number = found.job.attempt.number if found.job.attempt else 1
    step = decisions.called_back(found.job, number, success, found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)


@pytest.mark.parametrize("outcome", [Open("read_timeout"), NotTaken(Reason.UNREACHABLE)])
async def test_a_probe_that_proves_nothing_leaves_the_limit_where_it_was(
    store: JobStore, redis: Redis, outcome: object
) -> None:
    """And does not keep another one from being tried."""
    await full(store, 20)
    probe = await probe_of(store, redis)
    await answered(store, probe, outcome)  # type: ignore[arg-type]
    await store.queue.tick()
    if isinstance(outcome, NotTaken):
        assert limit(redis) == 5
    redis.hset("upstream:key-1", "paused_until", 0)
    found = await store.load(probe)
    assert found is not None
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    await store.advance(found, step)
    redis.zrem("places:key-1", probe)
    await store.queue.tick()
    assert redis.hget("upstream:key-1", "probing") in (None, b"")


async def test_what_the_upstream_asks_for_is_waited_for(store: JobStore, redis: Redis) -> None:
    """`retry_after` and up to a quarter more, also where a place comes free before."""
    await full(store, 20)
    first = placed(redis)
    await answered(store, first[0], BUSY)
    until = int(redis.hget("upstream:key-1", "paused_until") or 0)
    assert 2900 < until - store.now() < 3800
    handed_out = redis.llen(CELERY("submit"))
    for job_id in first[1:4]:
        await answered(store, job_id)
    assert redis.llen(CELERY("submit")) == handed_out
    redis.hset("upstream:key-1", "paused_until", 0)
    await store.queue.tick()
    assert redis.llen(CELERY("submit")) > handed_out


async def test_every_end_of_the_upstreams_part_gives_its_place_back(store: JobStore, redis: Redis) -> None:
    """Answer, callback, poll; a deadline is ours, not the upstream's: the place stays taken until that tells."""
    await store.queue.configure([UpstreamLimit("key-1", 4)])
    ids = [await accepted(store) for _ in range(4)]
    await answered(store, ids[0])
    for job_id in ids[1:]:
        await answered(store, job_id, PROCESSING)
    assert set(placed(redis)) == set(ids[1:])
    await end(store, ids[1])
    for job_id, late in ((ids[2], 0), (ids[3], 4_000_000)):
        found = await store.load(job_id)
        assert found is not None
        success = Answer("success", request_id="7", links=("https://cdn/a.png",))
        step = (
            decisions.woken(found.job, found.now + late, DURATIONS)
            if late
            else decisions.polled(found.job, 1, success, found.now, DURATIONS)
        )
        assert step is not None
        assert await store.advance(found, step)
    assert placed(redis) == [ids[3]]
    await end(store, ids[3])
    assert placed(redis) == []


async def test_a_job_that_its_probe_was_refused_for_goes_behind_its_peers(store: JobStore, redis: Redis) -> None:
    """It may be the request itself: the next probe is another job."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    ids = [await accepted(store) for _ in range(3)]
    for _ in range(2):
        await answered(store, ids[0], NotTaken(Reason.KEY_REFUSED, "Invalid API key"))
        redis.hset("upstream:key-1", "paused_until", 0)
        await store.queue.tick()
    assert placed(redis) == [ids[1]]


async def test_what_was_learned_is_forgotten_where_nothing_is_learned(store: JobStore, redis: Redis) -> None:
    """Old knowledge keeps nobody out; it says how long it is kept."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await done(store, redis, await accepted(store), hold_ms=1000, done_ms=1000)
    assert 500_000 < redis.pttl("flow") <= 600_000


async def test_a_restart_of_every_worker_keeps_what_was_learned(store: JobStore, redis: Redis) -> None:
    """The limit lives in Redis."""
    await full(store, 20)
    for job_id in placed(redis):
        await answered(store, job_id, PROCESSING)
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    assert limit(redis) == 6
    assert order(store).tenant == "acme"
