"""What is learned from jobs that ended, and what is predicted and refused by it."""

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, accepted, done, placed
from worker.job import decisions
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit


async def test_a_wait_is_predicted_from_recent_jobs(store: JobStore, redis: Redis) -> None:
    """Jobs before it, by how long a place is held, over the places that there are."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    await done(store, redis, await accepted(store), hold_ms=8000, done_ms=10_000)
    ids = [await accepted(store) for _ in range(7)]
    found = await store.view(ids[-1])
    assert found is not None
    assert found.standing is not None
    assert found.standing.position == 4
    assert found.standing.wait_ms == pytest.approx(20_000, abs=500)
    assert found.standing.eta_seconds == pytest.approx(30.0, abs=0.7)


async def test_recent_durations_are_learned_from_jobs(store: JobStore, redis: Redis) -> None:
    """How long a place is held, and how long a job takes from its place, or its intent, to its end."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    await done(store, redis, await accepted(store), hold_ms=5000, done_ms=7000)
    learned = {name.decode(): int(ms) for name, ms in redis.hgetall("flow").items()}
    assert learned == {
        "hold_ms": pytest.approx(5000, abs=500),
        "done_ms": pytest.approx(7000, abs=500),
    }
    assert int(redis.get("quickest:acme") or 0) == pytest.approx(7000, abs=500)
    assert 0 < redis.ttl("quickest:acme") <= 600


async def test_the_quickest_job_of_late_follows_an_upstream_that_becomes_slow(store: JobStore, redis: Redis) -> None:
    """A quicker one sets it, each slower one moves it a twentieth of the way; a record is loaded with it."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    seen = []
    for took in (4000, 2000, 22_000):
        await done(store, redis, await accepted(store), hold_ms=took, done_ms=took)
        found = await store.load(await accepted(store))
        assert found is not None
        seen.append(found.quickest_ms)
        await store.queue.tick()
        for each in placed(redis):
            await end_unsent(store, each)
    assert seen == [pytest.approx(each, abs=300) for each in (4000, 2000, 3000)]


async def end_unsent(store: JobStore, job_id: str) -> None:
    found = await store.load(job_id)
    assert found is not None
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    assert await store.advance(found, step)


async def test_a_tenants_slow_jobs_do_not_keep_its_quick_ones_out_for_good(store: JobStore, redis: Redis) -> None:
    """Each job that is not bought for want of time lowers the bar: after some of them one is tried, and tells."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await done(store, redis, await accepted(store), hold_ms=60_000, done_ms=60_000)
    unbought = 0
    for _ in range(60):
        found = await store.load(await accepted(store, deadline_ms=20_000))
        assert found is not None
        step = decisions.claim(found.job, "key-1", found.now, DURATIONS, quickest=found.quickest_ms)
        assert step is not None
        assert await store.advance(found, step)
        if step.cause == "intent":
            break
        unbought += 1
    assert 10 < unbought < 30
    assert placed(redis) == [found.job.id]


async def test_somebodys_slow_jobs_say_nothing_of_anothers(store: JobStore, redis: Redis) -> None:
    """Ten minutes for one tenant's images: the other's, with a minute until its deadline, is bought."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await done(store, redis, await accepted(store, "slow"), hold_ms=600_000, done_ms=600_000)
    found = await store.load(await accepted(store, "quick", deadline_ms=60_000))
    assert found is not None
    step = decisions.claim(found.job, "key-1", found.now, DURATIONS, quickest=found.quickest_ms)
    assert step is not None
    assert step.cause == "intent"
