"""Which job goes out next, to which key, on a real server: places, turns, priorities, keys that are full or broken."""

from redis import Redis

from tests.support.queue import DURATIONS, accepted, claimed, loaded
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Reason, Taken
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit

MOST = Allowance(1000)


SUCCESS = Answer("success", request_id="7", links=("https://cdn/a.png",))


async def test_no_more_jobs_are_handed_out_than_there_are_places(store: JobStore, redis: Redis) -> None:
    """The rest waits, and gets its message in the step that frees a place."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    ids = [await accepted(store) for _ in range(4)]
    assert (redis.llen(CELERY("submit")), redis.get("waiting")) == (2, b"2")
    job = await claimed(store, ids[0])
    found = await loaded(store, job.id)
    step = decisions.answered(job, 1, Taken(SUCCESS), found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    assert (redis.llen(CELERY("submit")), redis.get("waiting")) == (3, b"1")
    assert redis.zcard("places:key-1") == 2


async def test_jobs_accepted_before_any_worker_wait_for_one(store: JobStore, redis: Redis) -> None:
    """The first worker that makes its keys known gets them."""
    await accepted(store)
    assert redis.llen(CELERY("submit")) == 0
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    assert redis.llen(CELERY("submit")) == 1


async def test_tenants_are_served_in_turn(store: JobStore, redis: Redis) -> None:
    """One that queued a hundred first does not keep another waiting for all of them."""
    for _ in range(6):
        await accepted(store, tenant="big")
    small = [await accepted(store, tenant="small") for _ in range(2)]
    await store.queue.configure([UpstreamLimit("key-1", 4)])
    handed_out = redis.zrange("places:key-1", 0, -1)
    assert set(small) <= {each.decode() for each in handed_out}


async def test_a_higher_priority_goes_first(store: JobStore, redis: Redis) -> None:
    """Within a tenant, as a head start."""
    await accepted(store, priority=1)
    urgent = await accepted(store, priority=9)
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    assert redis.zrange("places:key-1", 0, -1) == [urgent.encode()]


async def test_a_full_upstream_queue_lowers_a_learned_limit(store: JobStore, redis: Redis) -> None:
    """And the job waits for the next place instead of being sent again at once."""
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    ids = [await accepted(store) for _ in range(5)]
    job = await claimed(store, ids[0])
    found = await loaded(store, job.id)
    step = decisions.answered(job, 1, NotTaken(Reason.BUSY, "full", 3), found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    assert redis.hget("upstream:key-1", "limit") == b"3"
    assert (await loaded(store, job.id)).job.place is None


async def test_a_broken_key_is_paused_and_then_probed_with_one_job(store: JobStore, redis: Redis) -> None:
    """The breaker: nothing is handed out in the pause, one job after it."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job = await claimed(store, await accepted(store))
    found = await loaded(store, job.id)
    step = decisions.answered(job, 1, NotTaken(Reason.KEY_REFUSED, "Invalid API key"), found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    redis.delete(CELERY("submit"))
    await accepted(store)
    assert redis.llen(CELERY("submit")) == 0
    redis.hset("upstream:key-1", "paused_until", 0)
    await store.queue.tick()
    assert redis.llen(CELERY("submit")) == 1


async def test_a_key_that_left_the_configuration_gets_no_more_jobs(store: JobStore, redis: Redis) -> None:
    """Otherwise a renamed key would double what is in flight."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    redis.hset("upstream:key-1", "seen", 1)
    await accepted(store)
    assert redis.llen(CELERY("submit")) == 0


async def test_an_upstream_cannot_ask_for_a_pause_of_months(store: JobStore, redis: Redis) -> None:
    """`retry_after` is bounded."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job = await claimed(store, await accepted(store))
    found = await loaded(store, job.id)
    step = decisions.answered(job, 1, NotTaken(Reason.BUSY, "full", 9_999_999), found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    assert int(redis.hget("upstream:key-1", "paused_until") or 0) - found.now < 700_000
