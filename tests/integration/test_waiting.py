"""A job that waits for a place is looked at when its deadline comes, and not once in every lease until then."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.engine import Engine, running_engine
from tests.support.queue import DURATIONS, answered
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Reason
from worker.job.record import Status
from worker.lifecycle import settle
from worker.overdue import end_overdue
from worker.store.keys import CELERY

SAYS_NOTHING = b'{"status":"processing","id":"1"}'
SAYS_SUCCESS = b'{"status":"success","id":"1","output":["https://cdn.example/a.png"]}'
LEASE_MS = 60_000


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine with one key, which the tests leave at rest."""
    async with running_engine(settings, redis) as made:
        yield made


async def back_in_the_queue(engine: Engine, deadline_ms: int = 3_600_000) -> str:
    """A job that was refused, because the upstream's queue was full; its key rests."""
    job_id = await engine.accepted(deadline_ms=deadline_ms)
    await answered(engine.r.store, job_id, NotTaken(Reason.BUSY, retry_after_seconds=600.0))
    forget_messages(engine)
    assert (await engine.job(job_id)).place is None
    return job_id


def forget_messages(engine: Engine) -> None:
    for queue in ("submit", "settle"):
        engine.redis.delete(CELERY(queue))


def messages(engine: Engine) -> int:
    return sum(int(engine.redis.llen(CELERY(queue))) for queue in ("submit", "settle"))  # type: ignore[arg-type]


def due_in(engine: Engine, job_id: str) -> float:
    """Milliseconds."""
    return float(engine.redis.zscore("due", job_id) or 0) - engine.r.store.now()  # type: ignore[arg-type]


async def lease_passes(engine: Engine, job_id: str) -> None:
    """What is due within one is due now."""
    if due_in(engine, job_id) <= LEASE_MS:
        engine.redis.zadd("due", {job_id: 1})
    await engine.r.store.queue.tick()


async def test_a_job_that_waits_again_gets_no_message_per_lease(engine: Engine) -> None:
    """A callback of its refused attempt came meanwhile and changed nothing: it was read, and that is all."""
    job_id = await back_in_the_queue(engine)
    await engine.r.store.inbox.keep(job_id, 1, SAYS_NOTHING)
    await settle(engine.r, job_id)
    forget_messages(engine)
    for _ in range(3):
        await lease_passes(engine, job_id)
    assert messages(engine) == 0
    job = await engine.job(job_id)
    assert job.stalls == 0
    assert due_in(engine, job_id) == pytest.approx(job.order.deadline_at - engine.r.store.now(), abs=1)


async def test_it_still_ends_at_its_deadline(engine: Engine) -> None:
    """By nobody's message: it stands among those that waited too long."""
    job_id = await back_in_the_queue(engine, deadline_ms=700)
    await engine.r.store.inbox.keep(job_id, 1, SAYS_NOTHING)
    await settle(engine.r, job_id)
    await lease_passes(engine, job_id)
    until = (await engine.job(job_id)).order.deadline_at
    await asyncio.sleep(max(0, until - engine.r.store.now()) / 1000 + 0.05)
    await engine.r.store.queue.tick()
    await end_overdue(engine.r)
    assert (await engine.job(job_id)).status is Status.EXPIRED


async def test_a_callback_that_nobody_has_read_still_brings_a_message(engine: Engine) -> None:
    """Its own was lost, or it could not be confirmed yet: it may hold the result."""
    job_id = await back_in_the_queue(engine)
    await engine.r.store.inbox.keep(job_id, 1, SAYS_SUCCESS)
    forget_messages(engine)
    await lease_passes(engine, job_id)
    assert messages(engine) == 1
    assert due_in(engine, job_id) <= LEASE_MS


async def test_a_step_of_a_job_that_got_its_place_meanwhile_leaves_its_lease(engine: Engine) -> None:
    """Who decided has seen it waiting: should its message be lost, it is found after a lease, not at its deadline."""
    job_id = await back_in_the_queue(engine)
    store = engine.r.store
    waiting = await store.load(job_id)
    assert waiting is not None
    engine.redis.hset(f"upstream:{next(iter(engine.r.accounts.used))}", "paused_until", 0)
    await store.queue.tick()
    assert (await engine.job(job_id)).place is not None
    another = Answer("failed", request_id="1", track_id="another's", message="out of paint")
    step = decisions.called_back(waiting.job, 1, another, waiting.now, DURATIONS)
    assert step is not None
    assert await store.advance(waiting, step)
    assert due_in(engine, job_id) <= LEASE_MS
