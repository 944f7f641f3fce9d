"""Bytes of a tenant in Redis: counted as they are, bounded, and given back when its jobs are removed."""

import asyncio
import json
from typing import Any

import httpx
from redis import Redis

from config.settings import Settings
from tests.support.api_server import problem, running_api
from tests.support.deliveries import BROKEN, HERE, ended_job, messages, tried
from tests.support.queue import DURATIONS, IMAGE, accepted, advanced, claimed, loaded, order
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.operate import doctor
from worker.operate.flow import FlowControl
from worker.store import keys
from worker.store.admission import Accepted, Allowance
from worker.store.jobs import JobStore
from worker.store.memory import tenant_bytes
from worker.store.queue import UpstreamLimit
from worker.telling.deliveries import DeliveryStore
from worker.telling.schedule import Next

MANY = Allowance(10_000)
FEW_BYTES = Allowance(1000, tenant_bytes=12_000)
HOURS_27 = 27
SYMBOL = "\U0001f702"
"""Four bytes: as large as a character can be."""


def written(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


async def forget(store: JobStore, job_id: str) -> None:
    await store.forget((await loaded(store, job_id)).job)


async def fat(store: JobStore, allowance: Allowance = FEW_BYTES, tenant: str = "acme", **more: Any) -> Accepted:
    """What an accept of a job of about 5 kB is answered."""
    key = more.pop("key", None)
    made = order(store, tenant, request={"prompt": "x" * 4000})
    return await store.accept([made], allowance, (keys.IDEMPOTENCY(tenant, key), "print") if key else None)


async def cancel(store: JobStore, job_id: str) -> None:
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.cancelled(found.job, found.now))


async def test_everything_that_a_job_keeps_is_counted_until_it_is_removed(
    store: JobStore, redis: Redis, deliveries: DeliveryStore
) -> None:
    """Its order, answers, timeline, callbacks, its delivery and its tries."""
    await store.queue.configure([UpstreamLimit("key-1", 10)])
    grown = [0]

    async def counts_more() -> None:
        grown.append(await tenant_bytes(store._lane, "acme"))
        assert grown[-1] > grown[-2]

    job_id = await accepted(store, webhook="https://hooks.example/told?job=1")
    await counts_more()
    await claimed(store, job_id)
    await counts_more()
    assert await store.inbox.keep(job_id, 1, b'{"status": "processing"}') == "kept"
    await counts_more()
    found = await loaded(store, job_id)
    answer = Taken(Answer("success", request_id="7", links=("https://cdn/a.png",)))
    await advanced(store, found, decisions.answered(found.job, 1, answer, found.now, DURATIONS))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.collected(found.job, (IMAGE,), 0, found.now, DURATIONS))
    await counts_more()
    (delivery,) = [each.decode() for each in redis.lrange(f"deliveries:{job_id}", 0, -1)]
    await tried(deliveries, delivery, BROKEN, Next("pending", 5000), HERE)
    await counts_more()
    assert int(redis.hget(f"job:{job_id}", "bytes") or 0) == grown[-1]
    await forget(store, job_id)
    assert not redis.exists("bytes")


async def test_what_is_counted_is_what_redis_uses(store: JobStore, redis: Redis) -> None:
    """Of waiting jobs, small and large; and of finished ones, with a delivery whose tries are still to come."""

    def used() -> int:
        facts = redis.info("memory")
        return int(facts["used_memory"]) - int(facts["mem_not_counted_for_evict"])

    for size, warm in ((10, True), (10, False), (1000, False), (8000, False)):
        before, counted = used(), await tenant_bytes(store._lane, "acme")
        for _ in range(20):
            await store.accept([order(store, request={"prompt": "x" * size}) for _ in range(10)], MANY)
        assert warm or 0.8 < (await tenant_bytes(store._lane, "acme") - counted) / (used() - before) < 1.25, size
    before = used()
    await asyncio.gather(*(ended_job(store, "https://hooks.example/told", "other") for _ in range(200)))
    messages(redis)
    assert 0.9 < await tenant_bytes(store._lane, "other") / (used() - before) < 1.5


async def test_a_tenant_that_uses_what_it_may_is_refused_until_it_deletes(store: JobStore, redis: Redis) -> None:
    """Jobs that ended at no cost count as any other; another tenant goes on; a batch is refused whole."""
    first = [await fat(store), await fat(store)]
    for each in first:
        await cancel(store, each.ids[0])
    refused = await fat(store)
    assert (refused.verdict, refused.ids) == ("tenant_memory", ())
    assert refused.refused_by is not None
    assert refused.refused_by.limit == 12_000 and 9_000 < refused.refused_by.used <= 12_000
    assert (await fat(store, tenant="other")).verdict == "created"
    await forget(store, first[0].ids[0])
    batch = [order(store), *(order(store, request={"prompt": "x" * 3000}) for _ in range(2))]
    assert (await store.accept(batch, FEW_BYTES)).verdict == "tenant_memory"
    assert redis.zcard("jobs:acme") == 1
    assert (await fat(store)).verdict == "created"


async def test_an_operator_s_limit_wins(store: JobStore, flow: FlowControl) -> None:
    """More, none, less, and again that of the settings."""
    for bytes_, verdict in ((20_000, "created"), (0, "created"), (3_000, "tenant_memory"), (None, "tenant_memory")):
        await flow.limit_tenant("acme", "bytes", bytes_)
        while (answer := await fat(store)).verdict == "created" and bytes_ == 20_000:
            pass
        assert answer.verdict == ("tenant_memory" if bytes_ == 20_000 else verdict)
    assert (await flow.tenant("acme")).bytes > 20_000


async def test_rows_of_idempotency_keys_count_until_they_expire(store: JobStore, redis: Redis) -> None:
    """They outlive their jobs: who deletes each job at once could fill Redis with them."""
    for number in range(100):
        answer = await fat(store, key=f"{number:064}")
        if answer.verdict != "created":
            break
        await cancel(store, answer.ids[0])
        await forget(store, answer.ids[0])
    assert answer.verdict == "tenant_memory"
    assert 6_000 < await tenant_bytes(store._lane, "acme") <= 12_000
    assert not redis.exists("bytes")
    rows = redis.hgetall("key_rows:acme")
    (hour,) = rows.keys() - {b"total"}
    redis.hset("key_rows:acme", int(hour) - HOURS_27, rows[hour])
    redis.hdel("key_rows:acme", hour)  # as if they had been written so long ago
    small = await store.accept([order(store)], FEW_BYTES, (keys.IDEMPOTENCY("acme", "new"), "print"))
    assert small.verdict == "created"
    assert await tenant_bytes(store._lane, "acme") < 3_000


async def test_a_record_of_an_older_version_counts_from_its_next_step_on(store: JobStore, redis: Redis) -> None:
    """It was accepted without; removing one that never took a step takes nothing back from the others."""
    old, older, new = [await accepted(store) for _ in range(3)]
    await cancel(store, older)
    for each in (old, older):
        redis.hincrby("bytes", "acme", -int(redis.hget(f"job:{each}", "bytes") or 0))
        redis.hdel(f"job:{each}", "bytes")
    await cancel(store, old)
    assert int(redis.hget(f"job:{old}", "bytes") or 0) > int(redis.hget(f"job:{new}", "bytes") or 0)
    await forget(store, older)
    await forget(store, old)
    assert await tenant_bytes(store._lane, "acme") == int(redis.hget(f"job:{new}", "bytes") or 0)


def test_the_refusal_says_what_to_do_in_every_dialect(settings: Settings) -> None:
    """429 with the numbers; usage shows them; the upstream's shape and OpenAI's have their own words for it."""
    body = {"model_id": "m", "prompt": "x" * 4000}
    with running_api(settings.model_copy(update={"tenant_max_bytes": 12_000})) as client:
        client.headers["authorization"] = "Bearer acme-key-0123"
        ids = [client.post("/v1/jobs", json=body).json()["id"] for _ in range(2)]
        refused = problem(client.post("/v1/jobs", json=body), 429, "tenant_memory_full")
        assert "of the 12,000 bytes" in refused["detail"] and "Delete finished ones" in refused["detail"]
        used = client.get("/v1/usage").json()["memory"]
        assert used["limit"] == 12_000 and 9_000 < used["bytes"] <= 12_000
        compatible = client.post("/api/v1/enterprise/text2img", json=body | {"key": "acme-key-0123"})
        assert compatible.json()["status"] == "error" and "Delete finished ones" in compatible.json()["message"]
        openai = client.post("/v1/images/generations", json={"model": "m", "prompt": "x" * 4000})
        assert (openai.status_code, openai.json()["error"]["code"]) == (429, "tenant_memory_full")
        assert client.post("/v1/jobs", json=body, headers={"authorization": "Bearer other-key-0123"}).is_success
        for each in ids:
            assert client.post(f"/v1/jobs/{each}/cancel").is_success
            assert client.delete(f"/v1/jobs/{each}").status_code == 204
        assert client.get("/v1/usage").json()["memory"]["bytes"] == 0
        assert client.post("/v1/jobs", json=body).status_code == 202


async def test_the_doctor_names_who_has_used_all(store: JobStore, settings: Settings) -> None:
    """Somebody else than the operator is refused for it, so only the operator can do something."""
    few = settings.model_copy(update={"tenant_max_bytes": 5_200})
    assert await doctor._tenants(few) is None
    assert (await fat(store)).verdict == "created"
    told = await doctor._tenants(few)
    assert told is not None and "% of the 5,200 bytes" in told and "bytes=" in told


def test_a_request_in_a_batch_is_as_small_as_a_single_one(client: httpx.Client, redis: Redis) -> None:
    """The refusal names it by its index, and nothing of the batch is accepted."""
    small = {"model_id": "m", "prompt": "a cat"}
    fits, large = (small | {"prompt": SYMBOL * 10_000, "negative_prompt": SYMBOL * more} for more in (6000, 6400))
    notes = {f"{number}": "é" * 256 for number in range(16)}
    assert client.post("/v1/jobs", content=written(fits)).status_code == 202
    assert client.post("/v1/jobs", content=written(large)).status_code == 413
    redis.flushall()
    refused = problem(
        client.post("/v1/jobs/batch", content=written([small, fits, large, fits | {"metadata": notes}])),
        422,
        "invalid_request",
    )
    assert [each["field"] for each in refused["errors"]] == ["2", "3"]
    assert (refused["errors"][0]["code"], refused["errors"][0]["allowed"]) == (
        "too_large",
        "up to 65536 bytes of JSON",
    )
    assert not redis.keys("job*")
    assert client.post("/v1/jobs/batch", content=written([small, fits])).status_code == 202
