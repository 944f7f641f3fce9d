"""Deliveries made as they come to be: a job is accepted with a webhook, and ends. And what tries at them come to."""

import json

from redis import Redis

from worker.job import decisions
from worker.job.ids import new_job_id
from worker.job.record import Order
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.telling.deliveries import DeliveryStore
from worker.telling.record import Target
from worker.telling.schedule import Next, Try

MOST = Allowance(100_000)
URL = "https://hooks.example/told?job=1"
HERE = Target.of("acme", URL)
OK = Try(200, None, "thanks", 0.1, None)
BROKEN = Try(500, None, "oops", 0.1, None)
GONE = Try(410, None, "", 0.1, None)
HUNG = Try(None, "TimeoutError", "", 15, None)


async def ended_job(store: JobStore, webhook: str, tenant: str = "acme") -> str:
    """Accepts a job and cancels it; the id of the delivery that follows."""
    now = store.now()
    order = Order(
        id=new_job_id(now),
        tenant=tenant,
        request={"model_id": "m", "prompt": "p"},
        created_at=now,
        deadline_at=now + 60_000,
        webhook=webhook,
    )
    assert (await store.accept([order], MOST)).verdict == "created"
    while True:  # where workers run, one may be quicker
        found = await store.load(order.id)
        assert found is not None
        step = decisions.cancelled(found.job, found.now)
        assert step is not None
        if await store.advance(found, step):
            break
    return f"msg_{order.id}_{step.job.version}"


async def tried(deliveries: DeliveryStore, delivery_id: str, last: Try, following: Next, target: Target = HERE) -> str:
    """One try from claim to row; why the endpoint is disabled by it."""
    claim = await deliveries.claim(delivery_id, target)
    assert claim.verdict == "claimed" and claim.delivery
    return await deliveries.keep(claim.delivery, target, claim.at, last, following)


def messages(redis: Redis) -> list[str]:
    """Ids in Celery's queue of the tellers, oldest first; taken out."""
    found = []
    while message := redis.rpop(CELERY("tell")):
        found.append(json.loads(json.loads(message)["body"])[0][0])  # type: ignore[arg-type]
    return found


def they_died(redis: Redis, ids: list[str]) -> None:
    """The workers that had claimed these, a claim's time ago."""
    for key in redis.keys("telling:*"):
        for each in ids:
            redis.zadd(key, {each: 1}, xx=True)
    for each in ids:
        redis.hset(f"delivery:{each}", "claimed_until", 1)
