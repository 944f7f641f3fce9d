"""Many deadlines at one moment: ended apart from everything that cannot wait, and no tenant waits for another."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.queue import ROOM, accepted, answered, order
from worker.job.record import Job, Status
from worker.lifecycle import rescue
from worker.overdue import PAGE, end_overdue
from worker.resources import Resources, open_resources
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit

MANY = 2000


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[Resources]:
    """A worker's resources, without its clocks; nothing is handed out, as where everything is paused."""
    resources = await open_resources(settings.model_copy(update={"lease_seconds": 1}))
    yield resources
    await resources.aclose()


async def waiting(store: JobStore, tenant: str, jobs: int, *, seconds: float, **more: Any) -> list[str]:
    """Jobs that wait for a place, all with one deadline from now."""
    until = store.now() + int(seconds * 1000)
    ids = []
    for start in range(0, jobs, 500):
        batch = [order(store, tenant, deadline_ms=until - store.now(), **more) for _ in range(min(500, jobs - start))]
        ids += (await store.accept(batch, ROOM)).ids
    return ids


async def ticked(store: JobStore) -> None:
    """Ticks until nothing more is due."""
    while (wait := (await store.queue.tick())[2]) is not None and wait < 200:  # noqa: ASYNC110 - as the clock does
        await asyncio.sleep(wait / 1000)


async def loaded(store: JobStore, job_id: str) -> Job:
    found = await store.load(job_id)
    assert found is not None
    return found.job


async def all_ended(here: Resources, redis: Redis, jobs: int) -> None:
    """The clocks run on until so many are ended: a machine that is busy elsewhere may need more than one turn."""
    async with asyncio.timeout(60):
        while int(redis.hget("counts", "expired") or 0) < jobs:  # type: ignore[arg-type]
            await ticked(here.store)
            await asyncio.sleep(await end_overdue(here))


def status(redis: Redis, job_id: str) -> str:
    found: Any = redis.hget(f"job:{job_id}", "status")
    return str(found.decode())


async def test_thousands_of_deadlines_at_one_moment_hold_up_nothing(here: Resources, redis: Redis) -> None:
    """No message for them before a callback; another tenant's job is ended in the first page; then all the others."""
    store = here.store
    await store._lane.call("SET", "paused", "by hand")
    many = await waiting(store, "acme", MANY, seconds=5)
    until = (await loaded(store, many[0])).order.deadline_at
    (one,) = await waiting(store, "other", 1, seconds=max(100, until - store.now()) / 1000)
    asking = await accepted(store, "other")
    await asyncio.sleep(max(0, (await loaded(store, one)).order.deadline_at - store.now()) / 1000 + 0.05)
    await ticked(store)
    await store.inbox.keep(asking, 1, b"{}")
    assert redis.llen(CELERY("settle")) == 1, "the callback's, and nothing before it"

    await end_overdue(here)
    assert status(redis, one) == Status.EXPIRED
    ended = [status(redis, each) for each in many].count("expired")
    assert 0 < ended < PAGE
    await all_ended(here, redis, MANY + 1)
    assert {status(redis, each) for each in many} == {"expired"}
    assert redis.hget("counts", "expired") == str(MANY + 1).encode()
    assert redis.keys("overdue*") == []
    assert (redis.get("waiting"), redis.zcard("due")) == (b"1", 1)


async def test_a_place_that_becomes_free_is_given_to_none_whose_deadline_is_over(here: Resources, redis: Redis) -> None:
    """Each of them would put its message before those of others, and end without having been bought."""
    store = here.store
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    first, *others = await waiting(store, "acme", 50, seconds=0.5)
    await asyncio.sleep(0.6)
    (later,) = await waiting(store, "other", 1, seconds=100)
    assert (redis.llen(CELERY("submit")), redis.zcard("places:key-1")) == (1, 1)
    await rescue(here, first)  # it has its place, and ends
    assert [status(redis, each) for each in (first, later)] == ["expired", "queued"]
    assert redis.zrange("places:key-1", 0, -1) == [later.encode()]
    assert redis.llen(CELERY("submit")) == 2
    await all_ended(here, redis, len(others) + 1)
    assert redis.llen(CELERY("submit")) == 2
    assert (redis.get("waiting"), redis.exists("backlog:acme")) == (b"0", 0)


async def test_no_two_workers_end_the_same_and_a_crash_brings_them_back(here: Resources, redis: Redis) -> None:
    """A page is one worker's. What it had when it died is due again a lease later, once."""
    store = here.store
    await store._lane.call("SET", "paused", "by hand")
    ids = await waiting(store, "acme", 200, seconds=0.5)
    await asyncio.sleep(0.6)
    await ticked(store)
    pages = await asyncio.gather(*(store.queue.overdue(64) for _ in range(5)))
    assert sorted(map(len, pages)) == [0, 8, 64, 64, 64]
    assert {each for page in pages for each in page} == set(ids)

    await store.queue.tick()
    assert await store.queue.overdue(64) == [], "not before the lease is over"
    await asyncio.sleep(1.1)
    await ticked(store)
    await ticked(store)
    await all_ended(here, redis, len(ids))
    assert {status(redis, each) for each in ids} == {"expired"}


async def test_tenants_are_served_in_turn(here: Resources) -> None:
    """Whatever one has, the others' jobs are in the next page; more tenants than fit come one page later."""
    store = here.store
    await store._lane.call("SET", "paused", "by hand")
    tenants = [f"tenant-{number:03}" for number in range(100)]
    await waiting(store, "acme", 300, seconds=1)
    for tenant in tenants:
        await waiting(store, tenant, 1, seconds=0.3)
    await asyncio.sleep(1.1)
    await ticked(store)
    first, second = await store.queue.overdue(64), await store.queue.overdue(64)
    served = {(await loaded(store, each)).order.tenant for each in (*first, *second)}
    assert served >= set(tenants)


async def test_who_waited_past_the_deadline_is_told(here: Resources, redis: Redis) -> None:
    """As by every other end."""
    store = here.store
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    await store._lane.call("SET", "paused", "by hand")
    (job_id,) = await waiting(store, "acme", 1, seconds=0.2, webhook="https://a.example/x")
    await asyncio.sleep(0.3)
    await ticked(store)
    await end_overdue(here)
    assert status(redis, job_id) == "expired"
    assert redis.llen(CELERY("tell")) == 1


async def test_what_has_a_place_is_ended_by_its_message(store: JobStore, redis: Redis) -> None:
    """A place is given back as soon as may be: few can have one."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store, deadline_ms=100)
    await asyncio.sleep(0.15)
    await store.queue.tick()
    assert redis.llen(CELERY("settle")) == 1
    assert redis.keys("overdue*") == []
    assert job_id.encode() in (redis.lindex(CELERY("settle"), 0) or b"")


async def test_the_deadline_of_a_job_whose_images_hang_is_no_matter_of_the_collectors(
    here: Resources, redis: Redis
) -> None:
    """Its end goes with callbacks and polls: every collector may be busy with a slow image."""
    await here.store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(here.store, deadline_ms=700)
    await answered(here.store, job_id)
    assert status(redis, job_id) == "storing"
    assert redis.llen(CELERY("settle")) == 0
    await asyncio.sleep(0.75)
    await ticked(here.store)
    (message,) = redis.lrange(CELERY("settle"), 0, -1)
    assert b"darkroom.rescue" in message
    assert job_id.encode() in message
    await rescue(here, job_id)
    assert status(redis, job_id) == "failed"
