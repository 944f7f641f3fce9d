"""What is stored is what the record says, whoever collects, how often, and whatever happens to the job meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.engine import Engine, png, running_engine
from worker import lifecycle
from worker.images.manifest import manifest_key
from worker.job import decisions
from worker.job.record import Job, Status
from worker.store.keys import CELERY

JOBS = 60


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine with an upstream that gives out every image twice: in its answer and at an address."""
    async with running_engine(settings, redis, image_hosts=("127.0.0.1",)) as made:
        yield made


def check_stored(engine: Engine, job: Job) -> None:
    """The bytes are of the recorded hash, the manifest says the same, and nothing else lies there."""
    for image in job.images:
        assert engine.sha256(image.key) == image.sha256, "the record names other bytes"
    told = json.loads((engine.folder / manifest_key(job)).read_bytes())
    assert [(each["key"], each["sha256"]) for each in told["images"]] == [(i.key, i.sha256) for i in job.images]
    folder = manifest_key(job).rpartition("/")[0]
    lying = [each for each in engine.files() if each.startswith(folder)]
    assert lying == sorted([manifest_key(job), *(image.key for image in job.images)])


async def test_an_image_that_comes_twice_with_other_bytes_is_stored_as_recorded(engine: Engine) -> None:
    """The answer's own image and the one at its address differ in metadata: many jobs, no record of other bytes."""
    engine.upstream.inline = png("inline")
    ids = [await engine.accepted() for _ in range(JOBS)]
    await engine.work()
    for job_id in ids:
        job = await engine.job(job_id)
        assert job.status is Status.SUCCEEDED
        check_stored(engine, job)
    assert engine.upstream.reads == 0, "what came in the answer was fetched again"


async def test_what_the_answer_brought_is_stored_without_a_message(engine: Engine) -> None:
    """By the process that holds it: nobody else is woken to fetch it a second time."""
    engine.upstream.inline = png("inline")
    job_id = await engine.accepted()
    await lifecycle.submit(engine.r, job_id)
    assert (await engine.job(job_id)).status is Status.SUCCEEDED
    assert engine.redis.llen(CELERY("collect")) == 0


async def test_two_messages_for_one_job_are_one_collection(engine: Engine) -> None:
    """The second worker sees that somebody is at it."""
    job_id = await engine.accepted()
    engine.upstream.image_seconds = 0.2
    await lifecycle.submit(engine.r, job_id)
    await asyncio.gather(*(lifecycle.collect(engine.r, job_id) for _ in range(3)))
    check_stored(engine, await engine.job(job_id))
    assert engine.upstream.reads == 1


@pytest.mark.parametrize("samples", [1, 2])
async def test_a_second_collector_leaves_no_trace(engine: Engine, samples: int) -> None:
    """A worker was believed dead and was not: both store, other bytes at every read; one is recorded, the rest goes."""
    engine.upstream.always_new, engine.upstream.samples, engine.upstream.image_seconds = True, samples, 0.2
    job_id = await engine.accepted(request={"samples": samples})
    await lifecycle.submit(engine.r, job_id)
    collectors = []
    for _ in range(3):
        collectors.append(asyncio.create_task(lifecycle.collect(engine.r, job_id)))
        await asyncio.sleep(0.02)
        engine.redis.delete("collecting:acme")
    await asyncio.gather(*collectors)
    job = await engine.job(job_id)
    assert (job.status, len(job.images), engine.upstream.reads) == (Status.SUCCEEDED, samples, 3 * samples)
    check_stored(engine, job)


async def test_who_collects_a_job_that_is_cancelled_meanwhile_removes_what_it_stored(engine: Engine) -> None:
    """Its record names no image, so none is kept."""
    job_id = await engine.accepted()
    engine.upstream.image_seconds = 0.3
    await lifecycle.submit(engine.r, job_id)
    collecting = asyncio.create_task(lifecycle.collect(engine.r, job_id))
    await asyncio.sleep(0.1)
    before = await engine.r.store.load(job_id)
    assert before
    step = decisions.cancelled(before.job, before.now)
    assert step
    assert await engine.r.store.advance(before, step)
    await collecting
    assert (await engine.job(job_id)).status is Status.CANCELLED
    assert engine.files() == []


async def test_the_manifest_is_there_before_a_deadline_ends_what_came_in_part(engine: Engine) -> None:
    """One of two images never comes: at the deadline the job succeeds with the other, as its manifest says."""
    engine.upstream.samples, engine.upstream.broken = 2, {2}
    job_id = await engine.accepted(request={"samples": 2}, deadline_ms=2_500)
    await engine.work()
    assert (await engine.job(job_id)).status is Status.STORING
    await asyncio.sleep(2.6)
    await lifecycle.rescue(engine.r, job_id)
    job = await engine.job(job_id)
    assert (job.status, len(job.images), job.images_missing) == (Status.SUCCEEDED, 1, 1)
    check_stored(engine, job)


async def test_a_slow_collector_keeps_its_claim_and_its_job(settings: Settings, redis: Redis) -> None:
    """For as long as it lives: nobody else begins, nobody counts the job as stalled, also over several leases."""
    async with running_engine(settings, redis, lease_seconds=0.3) as engine:
        job_id = await engine.accepted()
        engine.upstream.image_seconds = 1.2
        await lifecycle.submit(engine.r, job_id)
        redis.delete(CELERY("collect"))
        collecting = asyncio.create_task(lifecycle.collect(engine.r, job_id))
        for _ in range(9):
            await asyncio.sleep(0.1)
            await engine.r.store.queue.tick()
            assert redis.llen(CELERY("collect")) == 0, "believed dead"
        await lifecycle.collect(engine.r, job_id)
        assert (await engine.job(job_id)).status is Status.STORING
        await collecting
        job = await engine.job(job_id)
        assert (job.status, engine.upstream.reads) == (Status.SUCCEEDED, 1)


async def test_a_dead_collectors_job_is_collected_by_another_after_its_lease(settings: Settings, redis: Redis) -> None:
    """Its claim lapses when its job is due again."""
    async with running_engine(settings, redis, lease_seconds=0.3) as engine:
        job_id = await engine.accepted()
        engine.upstream.image_seconds = 30
        await lifecycle.submit(engine.r, job_id)
        redis.delete(CELERY("collect"))
        dead = asyncio.create_task(lifecycle.collect(engine.r, job_id))
        await asyncio.sleep(0.15)
        for task in asyncio.all_tasks():  # as a kill: nothing of it runs on, and nothing is given back
            if "_keep_saying" in str(task.get_coro()):
                task.cancel()
        engine.upstream.image_seconds = 0
        await asyncio.sleep(0.4)
        await engine.r.store.queue.tick()
        await engine.work()
        assert (await engine.job(job_id)).status is Status.SUCCEEDED
        dead.cancel()
        await asyncio.gather(dead, return_exceptions=True)


async def test_of_one_tenant_only_so_many_are_collected_and_the_others_wait_in_line(
    settings: Settings, redis: Redis
) -> None:
    """Without a worker that waits for them: each end wakes the next. Another tenant's images come at once."""
    async with running_engine(settings, redis, collect_per_tenant=2) as engine:
        ids = [await engine.accepted() for _ in range(7)]
        for job_id in ids:
            await lifecycle.submit(engine.r, job_id)
        redis.delete(CELERY("submit"))
        engine.upstream.image_seconds = 0.3
        working = asyncio.create_task(engine.work())
        await asyncio.sleep(0.15)
        assert redis.zcard("line:collecting:acme") == 5
        assert await stalls(engine, ids) == [0] * 7
        other = await engine.accepted("other")
        await lifecycle.submit(engine.r, other)
        await lifecycle.collect(engine.r, other)
        assert [(await engine.job(each)).status for each in ids].count(Status.SUCCEEDED) <= 4
        await working
        assert {(await engine.job(each)).status for each in [*ids, other]} == {Status.SUCCEEDED}
        assert engine.upstream.most_at_once <= 3
        assert redis.keys("*collecting:*") == []


async def test_who_stands_in_line_is_not_believed_to_kill_its_workers(settings: Settings, redis: Redis) -> None:
    """It may be looked at often, until its deadline at the latest; that ends it as it ends every other."""
    async with running_engine(settings, redis, collect_per_tenant=1) as engine:
        first, second = [await engine.accepted(deadline_ms=2_000) for _ in range(2)]
        for job_id in (first, second):
            await lifecycle.submit(engine.r, job_id)
        engine.upstream.image_seconds = 1
        collecting = asyncio.create_task(lifecycle.collect(engine.r, first))
        await asyncio.sleep(0.1)
        for _ in range(6):
            redis.delete(CELERY("collect"))
            await lifecycle.collect(engine.r, second)
            await engine.r.store.again_at(second, 0)
            await engine.r.store.queue.tick()
            assert redis.llen(CELERY("collect")) == 1
        assert await stalls(engine, [second]) == [0]
        assert float(redis.zscore("due", second) or 0) <= (await engine.job(second)).order.deadline_at
        await collecting


async def stalls(engine: Engine, ids: list[str]) -> list[int]:
    """Wake-ups that count against a job."""
    return [(await engine.job(each)).stalls for each in ids]


async def test_what_is_recorded_stays_recorded(engine: Engine) -> None:
    """Of two collectors both store the first of two images, with other bytes, before the second one is there."""
    engine.upstream.samples, engine.upstream.broken, engine.upstream.always_new = 2, {2}, True
    job_id = await engine.accepted(request={"samples": 2})
    await lifecycle.submit(engine.r, job_id)
    engine.upstream.image_seconds = 0.2
    slow = asyncio.create_task(lifecycle.collect(engine.r, job_id))
    await asyncio.sleep(0.05)
    engine.redis.delete("collecting:acme")
    engine.upstream.image_seconds = 0
    await lifecycle.collect(engine.r, job_id)
    first = (await engine.job(job_id)).images
    await slow
    job = await engine.job(job_id)
    assert (len(first), job.images) == (1, first)
    check_stored(engine, job)
    engine.upstream.broken = set()
    await lifecycle.collect(engine.r, job_id)
    job = await engine.job(job_id)
    assert (job.status, job.images[0], len(job.images)) == (Status.SUCCEEDED, first[0], 2)
    check_stored(engine, job)
