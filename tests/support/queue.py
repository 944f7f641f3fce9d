"""Jobs that go through the queue without an upstream: accepted, handed out, ended, as the scripts decide."""

import asyncio
from typing import Any

from redis import Redis

from config.broker import KEY_PREFIX
from worker.app import app
from worker.job import decisions
from worker.job.answer import Answer, Outcome, Taken
from worker.job.ids import new_job_id
from worker.job.record import Image, Job, Order
from worker.job.step import Step
from worker.job.timing import Durations
from worker.operate.flow import FlowControl
from worker.store.admission import Accepted, Allowance
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.loaded import Loaded
from worker.store.messages import message_template
from worker.store.queue import UpstreamLimit

DURATIONS = Durations(80_000, 60_000, 300_000)
ROOM = Allowance(10_000_000)
IMAGE = Image(0, "a/b.png", "ab" * 32, 64, 64, "PNG", 100)
SUCCESS = Taken(Answer("success", request_id="7", links=("https://cdn/a.png",)))


def order(store: JobStore, tenant: str = "acme", *, deadline_ms: int = 3_600_000, **more: Any) -> Order:
    """An order of now."""
    now = store.now()
    request = {"prompt": "a cat", "model_id": "m"} | more.pop("request", {})
    return Order(new_job_id(now), tenant, now, now + deadline_ms, request, **more)


async def accepted(store: JobStore, tenant: str = "acme", **more: Any) -> str:
    """The id of a job that is accepted."""
    made = order(store, tenant, **more)
    assert (await store.accept([made], ROOM)).verdict == "created"
    return made.id


async def tried(store: JobStore, allowance: Allowance, tenant: str = "acme", **more: Any) -> Accepted:
    """What an accept with these durations is answered."""
    return await store.accept([order(store, tenant, **more)], allowance)


async def loaded(store: JobStore, job_id: str) -> Loaded:
    """The job as it stands; it must be there."""
    found = await store.load(job_id)
    assert found is not None
    return found


async def advanced(store: JobStore, found: Loaded, step: Step | None) -> Job:
    """The job after this step, which must be one, and nobody was quicker."""
    assert step is not None
    assert await store.advance(found, step)
    return step.job


async def claimed(store: JobStore, job_id: str) -> Job:
    """Has a worker write the intent to submit it."""
    found = await loaded(store, job_id)
    claim = decisions.claim(found.job, found.job.place or "key-1", found.now, DURATIONS)
    assert claim is not None
    assert await store.advance(found, claim)
    return claim.job


async def answered(store: JobStore, job_id: str, outcome: Outcome = SUCCESS, durations: Durations = DURATIONS) -> None:
    """Has the job submitted, and the upstream answer so."""
    await claimed(store, job_id)
    found = await store.load(job_id)
    assert found is not None
    assert found.job.attempt is not None
    step = decisions.answered(found.job, found.job.attempt.number, outcome, found.now, durations)
    assert step is not None
    assert await store.advance(found, step)


async def release_order(store: JobStore, redis: Redis, jobs: int) -> list[str]:
    """The order in which so many waiting jobs get the one place of one key."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    served = []
    for _ in range(jobs):
        placed = [each.decode() for each in redis.zrange("places:key-1", 0, -1)]
        assert len(placed) == 1
        served.append(placed[0])
        await answered(store, placed[0])
    assert redis.zcard("places:key-1") == 0
    return served


def lasted(redis: Redis, job_id: str, ms: int) -> None:
    """So much time passes for a job: what the product noted of it moves back."""
    noted = [name for name in ("placed", "claimed") if redis.hexists(f"job:{job_id}", name)]
    assert noted, "nothing is known of when it began"
    for name in noted:
        redis.hincrby(f"job:{job_id}", name, -ms)


async def done(store: JobStore, redis: Redis, job_id: str, hold_ms: int = 0, done_ms: int = 0) -> None:
    """Has the job bought, made and stored: the upstream holds it for `hold_ms`, its end comes after `done_ms`."""
    await claimed(store, job_id)
    lasted(redis, job_id, hold_ms)
    found = await store.load(job_id)
    assert found is not None
    step = decisions.answered(found.job, 1, SUCCESS, found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    lasted(redis, job_id, done_ms - hold_ms)
    found = await store.load(job_id)
    assert found is not None
    step = decisions.collected(found.job, (IMAGE,), 0, found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)


def done_beside(redis_url: str, job_id: str, hold_ms: int, done_ms: int) -> None:
    """The same, on a loop of its own, for a test that is no coroutine."""

    async def act() -> None:
        lane = Lane(connect(redis_url, 5), 5)
        with Redis.from_url(redis_url) as redis:
            await done(JobStore(lane, message_template(app), KEY_PREFIX, 60_000), redis, job_id, hold_ms, done_ms)
        await lane.aclose()

    asyncio.run(act())


def placed(redis: Redis, name: str = "key-1") -> list[str]:
    """Jobs that hold a place, in no order."""
    return [each.decode() for each in redis.zrange(f"places:{name}", 0, -1)]


async def used(flow: FlowControl) -> tuple[int, int]:
    """Images open and spent today; the month says the same."""
    tenant = await flow.tenant("acme")
    assert (tenant.day.open, tenant.day.spent) == (tenant.month.open, tenant.month.spent)
    return tenant.day.open, tenant.day.spent
