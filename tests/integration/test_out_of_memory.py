"""Redis is full, and evicts nothing: nothing new is accepted, what frees or records goes on, until there is room.

The server has a small maxmemory and is filled by accepts, as another client could that nobody refused early. Nobody
changes its configuration.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import OutOfMemoryError

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.settings import Settings
from tests.support.api_server import running_api
from tests.support.deliveries import BROKEN, tried
from tests.support.processes import until
from tests.support.queue import DURATIONS, ROOM, accepted, answered, loaded, order
from worker.heartbeat import forget_old
from worker.images.claims import Collecting
from worker.images.removal import Forgetting
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.job.filter import Filter
from worker.job.record import OPEN, TERMINAL, Image, Status
from worker.operate.bulk import cancel_matching, purge_matching
from worker.operate.flow import FlowControl
from worker.resources import Resources, open_resources
from worker.store.api_keys import KeyStore
from worker.store.jobs import JobStore
from worker.store.lane import RedisUnavailable
from worker.store.queue import UpstreamLimit
from worker.telling.record import Target
from worker.telling.schedule import Next

PROCESSING = Taken(Answer("processing", request_id="7"))
SUCCESS = Answer("success", request_id="7", links=("https://cdn.example/a.png",))
IMAGE = Image(0, "a/0.png", "0" * 64, 1, 1, "PNG", 10)


@pytest.fixture
def small_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A server that holds a few thousand jobs."""
    server = EmbeddedRedis(tmp_path / "redis", free_port(), maxmemory="6mb")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def here(small_redis: EmbeddedRedis, settings: Settings) -> AsyncIterator[Resources]:
    """A worker's resources on it."""
    changes = {"redis_url": SecretStr(small_redis.url), "retention_seconds": 1}
    resources = await open_resources(settings.model_copy(update=changes))
    yield resources
    await resources.aclose()


async def fill(store: JobStore, size: int = 4000) -> None:
    """Accepts until there is no room for a whole request, then for none at all."""
    while size:
        try:
            await store.accept([order(store, "filler", request={"prompt": "x" * size}) for _ in range(20)], ROOM)
        except RedisUnavailable:
            size //= 8
    refusals = 0  # what a large request took itself is free again a moment later
    while refusals < 50:
        try:
            await store.accept([order(store, "filler")], ROOM)
            refusals = 0
        except RedisUnavailable:
            refusals += 1


async def stands(store: JobStore, job_id: str) -> Status:
    return (await loaded(store, job_id)).job.status


async def refused(store: JobStore) -> None:
    """An accept of one small job, which is refused while Redis is full; what a connection gives back may hold a few."""
    with pytest.raises(RedisUnavailable):
        for _ in range(300):
            await accepted(store)


async def test_a_full_redis_records_what_is_paid_for(here: Resources) -> None:
    """An answer, a callback, images, an end, a delivery, moved due times: each as ever."""
    store = here.store
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    claimed, running, gone = [await accepted(store, webhook="https://a.example/x") for _ in range(3)]
    await answered(store, running, PROCESSING)
    claim = decisions.claim((await loaded(store, claimed)).job, "key-1", store.now(), DURATIONS)
    assert claim is not None
    assert await store.advance(await loaded(store, claimed), claim)
    await store._lane.write("SET", "paused", "so that what fills it waits")
    await fill(store)
    await refused(store)

    found = await loaded(store, claimed)
    answer = decisions.answered(found.job, 1, PROCESSING, found.now, DURATIONS)
    assert answer is not None
    assert await store.advance(found, answer)
    assert await store.inbox.keep(running, 1, b'{"status":"success"}') == "kept"
    assert await store.inbox.keep(order(store).id, 1, b"{}") == "orphan"
    found = await loaded(store, running)
    storing = decisions.called_back(found.job, 1, SUCCESS, found.now, DURATIONS)
    assert storing is not None
    assert await store.advance(found, storing, inbox_read=1)
    await store.again_at(running, 60_000)
    found = await loaded(store, running)
    async with Collecting(store._lane, store.push, 1).claimed(found.job) as mine:
        assert mine
    stored = decisions.collected(found.job, (IMAGE,), 0, found.now, DURATIONS)
    assert stored is not None
    assert await store.advance(found, stored)
    found = await loaded(store, gone)
    cancelled = decisions.cancelled(found.job, found.now)
    assert cancelled is not None
    assert await store.advance(found, cancelled)
    statuses = [await stands(store, each) for each in (claimed, running, gone)]
    assert statuses == [Status.PROCESSING, Status.SUCCEEDED, Status.CANCELLED]


async def test_a_full_redis_lets_workers_go_on(here: Resources) -> None:
    """Their clocks, their word of being alive, the image store, what callers are told, a revoked key."""
    store, deliveries = here.store, here.notifier.deliveries
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    job_id = await accepted(store, webhook="https://a.example/x", deadline_ms=600)
    _, key = await KeyStore(here.lane).make("acme", ("read",), "")
    await store._lane.write("SET", "paused", "so that what fills it waits")
    await fill(store)
    await refused(store)

    await store.queue.tick()
    await store.queue.configure([UpstreamLimit("key-1", 10), UpstreamLimit("key-2", 10)])
    await store.condition.note_alive("worker-1", "submit")
    await store.condition.note_images_away("it is full", 15)
    await store.condition.note_images_away(None, 15)
    found = await loaded(store, job_id)
    await asyncio.sleep(max(0, found.job.order.deadline_at - store.now()) / 1000 + 0.05)
    found = await loaded(store, job_id)
    expired = decisions.woken(found.job, found.now, DURATIONS)
    assert expired is not None
    assert await store.advance(found, expired)
    (delivery_id,) = await store._lane.call("LRANGE", f"deliveries:{job_id}", 0, -1)
    target = Target.of("acme", "https://a.example/x")
    await tried(deliveries, delivery_id.decode(), BROKEN, Next("pending", 5000), target)
    await deliveries.close(delivery_id.decode(), "gone")
    assert await KeyStore(here.lane).revoke(key.id) == key
    await FlowControl(here.lane, store).limit_tenant("filler", "bytes", 1000)
    assert await store.condition.workers_alive() == 1
    await refused(store)


async def test_what_is_removed_makes_room(here: Resources) -> None:
    """Cancelled in bulk, removed by retention and in bulk: then accepts are taken again, by no other hand."""
    store = here.store
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    early = [await accepted(store, request={"prompt": "x" * 4000}) for _ in range(100)]
    for job_id in early:
        found = await loaded(store, job_id)
        step = decisions.cancelled(found.job, found.now)
        assert step is not None
        assert await store.advance(found, step)
    await store._lane.write("SET", "paused", "so that what fills it waits")
    await fill(store)
    await refused(store)

    await asyncio.sleep(1.1)
    await forget_old(here)
    assert [await store.load(each) for each in early] == [None] * 100
    await accepted(store)

    await fill(store)
    await refused(store)
    fillers = ("filler", "acme")
    forgetting = Forgetting(here.lane, store, here.images.store)
    assert await cancel_matching(store, fillers, Filter(OPEN)) > 300
    assert (await purge_matching(store, forgetting, fillers, Filter(TERMINAL))).jobs > 300
    assert await accepted(store)


def test_the_door_refuses_early_and_lets_in_again(small_redis: EmbeddedRedis, settings: Settings) -> None:
    """From its share on: 507 with when again, told by readyz and metrics; what was accepted is answered and removed."""
    changes = {"redis_url": SecretStr(small_redis.url), "redis_memory_share": 0.5, "tenant_max_bytes": 1_000_000_000}
    with running_api(settings.model_copy(update=changes)) as client, Redis.from_url(small_redis.url) as redis:
        client.headers["authorization"] = "Bearer acme-key-0123"
        body = {"model_id": "m", "prompt": "x" * 10_000}
        first = client.post("/v1/jobs", json=body, headers={"idempotency-key": "mine"}).json()
        ids, refused = [], client.get("/healthz")
        while refused.status_code != 507:
            refused = client.post("/v1/jobs", json=body)
            ids += [refused.json()["id"]] if refused.status_code == 202 else []
        assert refused.json()["code"] == "insufficient_storage"
        assert int(refused.headers["retry-after"]) > 0
        assert redis.set("somebody", "else's"), "there is room left for what must go on"

        again = client.post("/v1/jobs", json=body, headers={"idempotency-key": "mine"})
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        other = client.post("/v1/jobs", json=body | {"samples": 2}, headers={"idempotency-key": "mine"})
        assert other.json()["code"] == "idempotency_mismatch"
        until(lambda: "nothing is accepted" in client.get("/readyz").json()["memory"], what="told")
        assert client.get("/readyz").status_code == 200, "callbacks come in by the same door"
        (share,) = re.findall(r"^darkroom_redis_memory_share (.*)$", client.get("/metrics").text, re.MULTILINE)
        assert 0.4 <= float(share) < 0.55, "not one job too many, but for what connections use"

        for each in ids:
            assert client.post(f"/v1/jobs/{each}/cancel").json()["status"] == "cancelled"
            assert client.delete(f"/v1/jobs/{each}").status_code == 204
        until(lambda: client.post("/v1/jobs", json=body).status_code == 202, what="room again")
        assert client.get("/readyz").json()["memory"] == "ok"


def test_a_redis_that_was_filled_past_the_doors_back_is_told_as_full(
    small_redis: EmbeddedRedis, settings: Settings
) -> None:
    """Between two looks of the door: what Redis refuses for want of memory was not done, so it is no 503."""
    changes = {"redis_url": SecretStr(small_redis.url), "redis_memory_share": 1.0}
    with running_api(settings.model_copy(update=changes)) as client, Redis.from_url(small_redis.url) as redis:
        client.headers["authorization"] = "Bearer acme-key-0123"
        body = {"model_id": "m", "prompt": "a cat"}
        first = client.post("/v1/jobs", json=body, headers={"idempotency-key": "mine"}).json()
        with pytest.raises(OutOfMemoryError):
            for number in range(10_000):
                redis.set(f"filler:{number}", "x" * 10_000)
        with pytest.raises(OutOfMemoryError):
            for number in range(10_000):
                redis.set(f"small:{number}", "x")
        # a connection that closes gives a little memory back: a few may still fit
        answers = (client.post("/v1/jobs", json=body) for _ in range(300))
        refused = next(answer for answer in answers if answer.status_code != 202)
        assert (refused.status_code, refused.json()["code"]) == (507, "insufficient_storage")
        again = client.post("/v1/jobs", json=body, headers={"idempotency-key": "mine"})
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        assert client.post(f"/v1/jobs/{first['id']}/cancel").status_code == 200
        assert client.delete(f"/v1/jobs/{first['id']}").status_code == 204
