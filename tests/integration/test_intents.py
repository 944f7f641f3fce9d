"""Between reading a job and buying it: a callback that comes then is read first, and the job is not forgotten."""

import asyncio

from pydantic import SecretStr
from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.settings import Settings
from tests.support.engine import Engine, running_engine
from tests.support.queue import DURATIONS
from tests.support.slow_wire import slow_wire
from worker import lifecycle
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.job.record import Job, Status
from worker.recording import record
from worker.store.keys import CELERY

SAYS_NOTHING = b'{"status":"processing","id":"1"}'
SAYS_SEVEN = b'{"status":"success","id":"7","output":["https://cdn.example/a.png"]}'
SAYS_SUCCESS = b'{"status":"success","id":"1","output":["https://cdn.example/a.png"]}'


async def test_an_intent_refused_for_a_callback_is_tried_again_at_once(engine: Engine, redis: Redis) -> None:
    """The callback changes nothing: the job has its message again, not only after a lease."""
    job_id = await engine.accepted()
    found = await engine.r.store.load(job_id)
    assert found is not None
    redis.delete(CELERY("submit"))  # a worker has it in its hands
    await engine.r.store.inbox.keep(job_id, 1, SAYS_NOTHING)
    step = decisions.claim(found.job, found.job.place or "", found.now, DURATIONS)
    assert step is not None
    assert not await engine.r.store.advance(found, step)
    (message,) = redis.lrange(CELERY("submit"), 0, -1)
    assert job_id.encode() in message
    await engine.work()
    assert (await engine.job(job_id)).status is Status.SUCCEEDED


async def test_nothing_is_bought_while_a_callback_cannot_be_confirmed(settings: Settings, redis: Redis) -> None:
    """It may hold the result: the job is looked at again soon, and no message runs in circles."""
    gone = f"http://127.0.0.1:{free_port()}"
    async with running_engine(settings, redis, confirm_callbacks=True, upstream_url=gone) as engine:
        job_id = await engine.accepted()
        await engine.work()  # the upstream cannot be reached
        redis.hset(f"upstream:{next(iter(engine.r.accounts.used))}", "paused_until", 0)
        await engine.r.store.queue.tick()
        assert (await engine.job(job_id)).place is not None
        redis.delete(CELERY("submit"))
        await engine.r.store.inbox.keep(job_id, 1, SAYS_SUCCESS)
        await lifecycle.submit(engine.r, job_id)
        job = await engine.job(job_id)
        assert (job.status, len(job.attempts)) == (Status.QUEUED, 1)
        assert redis.llen(CELERY("submit")) == 0
        assert 0 < int(redis.zscore("due", job_id) or 0) - engine.r.store.now() <= 2000


async def in_work(engine: Engine) -> Job:
    """A job that the upstream has as request 7."""
    job_id = await engine.accepted()
    found = await engine.r.store.load(job_id)
    assert found is not None
    server = engine.r.accounts.account(found.job.place or "")
    assert server is not None
    claim = decisions.claim(found.job, server.name, found.now, DURATIONS, server=server.server)
    assert claim is not None
    assert await engine.r.store.advance(found, claim)
    found = await engine.r.store.load(job_id)
    assert found is not None
    step = decisions.answered(found.job, 1, Taken(Answer("processing", "7", eta_seconds=600)), found.now, DURATIONS)
    assert step is not None
    assert await engine.r.store.advance(found, step)
    return step.job


async def test_a_callback_by_an_id_that_two_jobs_have_needs_no_confirmation(settings: Settings, redis: Redis) -> None:
    """Fetch can never tell whose it is: its token says so, and what was paid for is not lost."""
    async with running_engine(settings, redis, confirm_callbacks=True) as engine:
        job, other = await in_work(engine), await in_work(engine)
        assert other.attempt is not None
        assert not await engine.r.store.owns_request(other.attempt, "7")
        await engine.r.store.inbox.keep(job.id, 1, SAYS_SEVEN)
        await lifecycle.settle(engine.r, job.id)
        assert (await engine.job(job.id)).status is Status.STORING


async def test_a_confirmation_about_another_request_leaves_the_callback_unread(
    settings: Settings, redis: Redis
) -> None:
    """What fetch says is somebody else's: the callback stays, and is confirmed once fetch tells of the right one."""
    async with running_engine(settings, redis, confirm_callbacks=True) as engine:
        job = await in_work(engine)  # the upstream of these tests gives each request its own id: fetch tells of 1
        await engine.r.store.inbox.keep(job.id, 1, SAYS_SEVEN)
        await lifecycle.settle(engine.r, job.id)
        found = await engine.r.store.load(job.id)
        assert found is not None
        assert (found.job.status, len(found.inbox)) == (Status.PROCESSING, 1)
        engine.upstream.next_is(7)
        await lifecycle.settle(engine.r, job.id)
        assert (await engine.job(job.id)).status is Status.STORING


async def test_an_intent_that_comes_after_its_worker_has_looked_for_it_is_refused(engine: Engine, redis: Redis) -> None:
    """The connection broke before Redis had read all of it: nobody would ever send what it says is being sent."""
    job_id = await engine.accepted()
    redis.delete(CELERY("submit"))
    found = await engine.r.store.load(job_id)
    assert found is not None
    intent = decisions.claim(found.job, found.job.place or "", found.now, DURATIONS, "me")
    assert intent is not None
    await record(engine.r, job_id, lambda job, now: decisions.never_sent(job, "me", now, DURATIONS))
    assert not await engine.r.store.advance(found, intent), "it has come late"
    await engine.work()
    job = await engine.job(job_id)
    assert (job.status, len(job.attempts)) == (Status.SUCCEEDED, 1)


async def test_an_intent_whose_reply_is_lost_is_taken_back_at_once(
    settings: Settings, redis: Redis, redis_server: EmbeddedRedis
) -> None:
    """Its worker cannot know that the intent is on disk, so it sends nothing: the job does not wait for a lease."""
    with slow_wire(redis_server.port) as wire:
        address = settings.redis_url.get_secret_value().replace(f":{redis_server.port}", f":{wire.port}")
        async with running_engine(settings, redis, redis_url=SecretStr(address)) as engine:
            await engine.accepted()
            await engine.work()  # Redis knows the scripts by now
            job_id = await engine.accepted()
            redis.delete(CELERY("submit"))
            wire.lose_reply(b"intent")
            await lifecycle.submit(engine.r, job_id)
            await asyncio.sleep(0.6)  # the intent has arrived, if late
            job = await engine.job(job_id)
            assert job.status is Status.QUEUED
            assert {each.outcome for each in job.attempts} <= {"never_sent"}
            await engine.work()
            job = await engine.job(job_id)
            assert job.status is Status.SUCCEEDED
            assert [each.status for each in job.attempts if each.possibly_charged] == ["succeeded"]
