"""What a tenant may queue and buy: decided in the script that accepts, settled in the one that ends."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, ROOM, accepted, answered, done, order, tried, used
from worker.job import decisions
from worker.job.answer import NotTaken, Open, Reason
from worker.job.record import Status
from worker.operate.flow import FlowControl
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

TEN_A_DAY = Allowance(1000, images_day=10)


async def test_images_are_reserved_at_accept_and_refused_beyond_the_budget(store: JobStore, flow: FlowControl) -> None:
    """By images, not by jobs; what is refused reserves nothing, and less still fits."""
    for _ in range(2):
        assert (await tried(store, TEN_A_DAY, request={"samples": 4})).verdict == "created"
    refused = await tried(store, TEN_A_DAY, request={"samples": 4})
    assert (refused.verdict, refused.refused_by and refused.refused_by.used) == ("budget", 8)
    assert (await tried(store, TEN_A_DAY, request={"samples": 2})).verdict == "created"
    assert await used(flow) == (10, 0)


async def test_a_hundred_at_once_get_the_budget_and_not_one_more(store: JobStore, flow: FlowControl) -> None:
    """One script decides and books."""
    verdicts = [each.verdict for each in await asyncio.gather(*(tried(store, TEN_A_DAY) for _ in range(100)))]
    assert (verdicts.count("created"), verdicts.count("budget")) == (10, 90)
    assert await used(flow) == (10, 0)


async def test_a_batch_beyond_the_budget_is_refused_whole(store: JobStore, flow: FlowControl) -> None:
    """All or none."""
    batch = [order(store, request={"samples": 4}) for _ in range(3)]
    assert (await store.accept(batch, TEN_A_DAY)).verdict == "budget"
    assert await used(flow) == (0, 0)


async def test_a_month_is_a_budget_of_its_own(store: JobStore) -> None:
    """And says so."""
    refused = await tried(store, Allowance(1000, images_month=1), request={"samples": 2})
    assert (refused.verdict, refused.refused_by and refused.refused_by.number) == ("budget", 2)


async def test_what_is_bought_is_settled(store: JobStore, flow: FlowControl) -> None:
    """From open to spent."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store, request={"samples": 3})
    assert await used(flow) == (3, 0)
    await answered(store, job_id)
    assert await used(flow) == (0, 3)


async def test_what_is_proven_not_to_be_bought_is_given_back(store: JobStore, flow: FlowControl) -> None:
    """A refused request, and a cancelled one that was never sent."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    await answered(store, await accepted(store), NotTaken(Reason.REJECTED, "width"))
    found = await store.load(await accepted(store))
    assert found is not None
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    await store.advance(found, step)
    assert await used(flow) == (0, 0)


async def test_a_refusal_for_now_keeps_the_reservation(store: JobStore, flow: FlowControl) -> None:
    """It will be bought later."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    await answered(store, await accepted(store), NotTaken(Reason.BUSY, "full", 1))
    assert await used(flow) == (1, 0)


async def test_what_nobody_knows_stays_open(store: JobStore, flow: FlowControl) -> None:
    """Also after the deadline: it may have been paid for."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store)
    await answered(store, job_id, Open("read_timeout"))
    assert await used(flow) == (1, 0)
    found = await store.load(job_id)
    assert found is not None
    step = decisions.woken(found.job, found.now + 4_000_000, DURATIONS)
    assert step is not None
    await store.advance(found, step)
    assert step.job.status is Status.EXPIRED
    assert await used(flow) == (1, 0)


async def test_an_operators_limit_goes_before_the_settings(store: JobStore, flow: FlowControl) -> None:
    """More, less, none, and back."""
    await flow.limit_tenant("acme", "images_day", 1)
    assert (await tried(store, TEN_A_DAY, request={"samples": 2})).verdict == "budget"
    await flow.limit_tenant("acme", "images_day", 0)
    assert (await tried(store, TEN_A_DAY, request={"samples": 4})).verdict == "created"
    assert (await tried(store, Allowance(1000, images_day=5), request={"samples": 4})).verdict == "created"
    await flow.limit_tenant("acme", "images_day", None)
    assert (await tried(store, TEN_A_DAY, request={"samples": 4})).verdict == "budget"


async def test_requests_are_spread_by_rate_with_a_burst(store: JobStore, redis: Redis) -> None:
    """GCRA: the burst at once, then one by one as time goes by, and the wait until then is told."""
    allowance = Allowance(1000, rate=2, burst=3)
    verdicts = [(await tried(store, allowance)).verdict for _ in range(5)]
    assert verdicts == ["created"] * 3 + ["rate"] * 2
    refused = await tried(store, allowance)
    assert refused.refused_by is not None
    assert 300 < refused.refused_by.number <= 500
    until = float(redis.get("rate:acme") or 0)
    redis.set("rate:acme", until - 500)
    assert (await tried(store, allowance)).verdict == "created"
    assert (await tried(store, allowance)).verdict == "rate"


async def test_a_rate_that_an_operator_sets_has_a_burst_of_its_own(store: JobStore, flow: FlowControl) -> None:
    """As many as in one second, unless that is set as well."""
    await flow.limit_tenant("acme", "rate", 4)
    assert [(await tried(store, ROOM)).verdict for _ in range(6)] == ["created"] * 4 + ["rate"] * 2
    await flow.limit_tenant("acme", "burst", 100)
    assert (await tried(store, ROOM)).verdict == "created"


async def test_a_batch_pays_for_all_its_requests(store: JobStore) -> None:
    """It is let in while there is room, and then nothing for as long as it was."""
    allowance = Allowance(1000, rate=10, burst=5)
    assert (await store.accept([order(store) for _ in range(50)], allowance)).verdict == "created"
    refused = await tried(store, allowance)
    assert refused.refused_by is not None
    assert 4000 < refused.refused_by.number <= 5000


async def test_one_tenant_cannot_fill_the_queue(store: JobStore) -> None:
    """Its own limit of waiting jobs, which no other tenant's jobs count in."""
    allowance = Allowance(100, tenant_waiting=2)
    verdicts = [(await tried(store, allowance)).verdict for _ in range(3)]
    assert verdicts == ["created", "created", "tenant_full"]
    assert (await tried(store, allowance, "other")).verdict == "created"


async def test_a_full_queue_still_lets_in_who_has_little_in_it(store: JobStore) -> None:
    """A little beyond the bound, so that one tenant that fills it does not keep the others out."""
    allowance = Allowance(10, reserved=2)
    for _ in range(10):
        assert (await tried(store, allowance)).verdict == "created"
    assert (await tried(store, allowance)).verdict == "full"
    verdicts = [(await tried(store, allowance, tenant)).verdict for tenant in ("b", "b", "b", "c")]
    assert verdicts == ["created", "created", "full", "full"], "and no further"
    assert (await tried(store, Allowance(10), "c")).verdict == "full"


async def test_a_repeated_request_is_answered_whatever_is_used_up(store: JobStore, flow: FlowControl) -> None:
    """Its job was accepted: the same Idempotency-Key costs nothing and is refused nothing."""
    key = ("idempotency:acme:k", "body")
    first = await store.accept([order(store)], Allowance(1, rate=0.001, burst=1, images_day=1), key)
    again = await store.accept([order(store)], Allowance(1, rate=0.001, burst=1, images_day=1), key)
    assert (again.verdict, again.ids) == ("same", first.ids)
    assert await used(flow) == (1, 0)


async def late(store: JobStore, deadline_ms: int, **more: Any) -> str:
    made = order(store, deadline_ms=deadline_ms, **more)
    return (await store.accept([made], ROOM, refuse_late=[made.id])).verdict


async def test_a_job_that_cannot_meet_its_deadline_is_refused_if_it_asks_for_that(
    store: JobStore, redis: Redis
) -> None:
    """By the queue before it and by how long jobs take; with nothing known, nothing is refused."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    assert await late(store, 5000) == "created", "nothing is known yet"
    await done(store, redis, redis.zrange("places:key-1", 0, 0)[0].decode(), hold_ms=10_000, done_ms=12_000)
    for _ in range(4):
        await accepted(store)
    assert await late(store, 51_000) == "late"
    assert await late(store, 60_000) == "created"
    assert (await tried(store, ROOM, deadline_ms=1000)).verdict == "created", "it did not ask"
    assert await late(store, 30_000, priority=9) == "created", "its head start counts"


async def test_the_predicted_wait_is_told(store: JobStore, redis: Redis) -> None:
    """How long it would take, and how much that is too much."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await done(store, redis, await accepted(store), hold_ms=10_000, done_ms=12_000)
    await accepted(store)
    made = order(store, deadline_ms=5000)
    refused = (await store.accept([made], ROOM, refuse_late=[made.id])).refused_by
    assert refused is not None
    assert refused.limit == pytest.approx(22_000, abs=500)
    assert 16_500 < refused.number <= 17_600
    assert await store.load(made.id) is None
