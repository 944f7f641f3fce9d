"""What brings a job back, on a real server: its due time, ticks, callbacks that were kept, its deadline."""

import asyncio
import json

from redis import Redis

from tests.support.queue import DURATIONS, accepted, claimed, loaded
from worker.job import decisions
from worker.job.ids import new_job_id
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit


async def test_a_lost_message_is_written_again_by_its_due_time(store: JobStore, redis: Redis) -> None:
    """FLUSHALL of Celery's queues alone loses nothing."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store)
    redis.delete(CELERY("submit"))
    redis.zadd("due", {job_id: 0})
    jobs, _, _ = await store.queue.tick()
    assert (jobs, redis.llen(CELERY("submit"))) == (1, 1)


async def test_a_message_that_still_waits_in_a_long_list_is_not_written_twice(store: JobStore, redis: Redis) -> None:
    """Only one older than the oldest in the list is known to be lost."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store)
    redis.zadd("due", {job_id: 0})
    jobs, _, _ = await store.queue.tick()
    assert (jobs, redis.llen(CELERY("submit"))) == (0, 1)


async def test_any_number_of_ticks_wake_a_job_once(store: JobStore, redis: Redis) -> None:
    """Ten processes at the same time."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job = await claimed(store, await accepted(store))
    redis.delete(CELERY("submit"))
    redis.zadd("due", {job.id: 0})
    moved = await asyncio.gather(*(store.queue.tick() for _ in range(10)))
    assert sum(jobs for jobs, _, _ in moved) == 1


async def test_a_callback_is_kept_once_and_wakes_its_job(store: JobStore, redis: Redis) -> None:
    """Raw, before anything is decided; the second copy changes nothing; the inbox is bounded."""
    job_id = await accepted(store)
    assert await store.inbox.keep(job_id, 1, b'{"a": 1}') == "kept"
    assert await store.inbox.keep(job_id, 1, b'{"a": 1}') == "duplicate"
    assert redis.llen(CELERY("settle")) == 1
    assert [each[1:] for each in (await loaded(store, job_id)).inbox] == [(1, b'{"a": 1}')]
    for number in range(30):
        await store.inbox.keep(job_id, 1, b"%d" % number)
    assert redis.llen(f"inbox:{job_id}") == 20


async def test_a_callback_for_no_job_is_kept_as_an_orphan(store: JobStore, redis: Redis) -> None:
    """It may be matched later."""
    job_id = new_job_id(store.now())
    assert await store.inbox.keep(job_id, 1, b'{"a": "\xc3\xa9"}') == "orphan"
    (row,) = redis.lrange("orphans", 0, -1)  # type: ignore[misc]
    orphan = json.loads(row)
    assert abs(orphan.pop("at") - store.now()) < 1000
    assert orphan == {"job": job_id, "attempt": 1, "body": '{"a": "é"}'}


async def test_a_job_with_a_place_ends_at_its_deadline_though_its_message_waits(store: JobStore, redis: Redis) -> None:
    """Nobody takes its message: the rescue does not wait for that."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store)
    redis.hset(f"job:{job_id}", "deadline", 1)
    redis.zadd("due", {job_id: 0})
    jobs, _, _ = await store.queue.tick()
    assert (jobs, redis.llen(CELERY("settle"))) == (1, 1)


async def test_an_ended_job_that_was_woken_for_nothing_is_left_in_peace(store: JobStore, redis: Redis) -> None:
    """Its due time goes, unless something has come in meanwhile."""
    found = await loaded(store, await accepted(store))
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    await store.advance(found, step)
    await store.inbox.keep(found.job.id, 1, b'{"status": "failed"}')
    await store.rest(step.job)
    assert redis.zscore("due", found.job.id) is not None
    await store.inbox.mark_read(await loaded(store, found.job.id))
    await store.rest(step.job)
    assert redis.zscore("due", found.job.id) is None


async def test_nothing_is_bought_while_a_callback_waits_to_be_read(store: JobStore) -> None:
    """It may hold the result of an earlier attempt."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    found = await loaded(store, await accepted(store))
    await store.inbox.keep(found.job.id, 1, b'{"status": "success"}')
    step = decisions.claim(found.job, "key-1", found.now, DURATIONS)
    assert step is not None
    assert not await store.advance(found, step)
