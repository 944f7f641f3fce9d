"""The queue between tenants, on the real scripts: shares by weight, head starts that are paid for, nobody starves.

The simulation is the queue itself: jobs are accepted, and one place is freed again and again.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from config.broker import KEY_PREFIX
from tests.support.queue import ROOM, accepted, answered, order, release_order
from worker.app import app
from worker.operate.flow import FlowControl
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.messages import message_template
from worker.store.queue import UpstreamLimit

LARGEST_HEAD_START = 9
"""Turns between the lowest and the highest priority."""


async def test_shares_follow_weights(store: JobStore, redis: Redis) -> None:
    """Three tenants with all they want: 4 to 2 to 1, in any stretch of the queue."""
    weights = {"a": 4, "b": 2, "c": 1}
    redis.hset("fair:weights", mapping=weights)
    jobs = {await accepted(store, tenant): tenant for tenant in weights for _ in range(70)}
    served = [jobs[each] for each in await release_order(store, redis, 210)][:119]
    assert Counter(served) == {"a": 68, "b": 34, "c": 17}


async def test_a_tenant_that_comes_late_does_not_wait_for_a_thousand_jobs_of_another(
    store: JobStore, redis: Redis
) -> None:
    """Nor does it get a credit for the time that it was away."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    for _ in range(10):
        await store.accept([order(store, "big") for _ in range(100)], ROOM)
    for _ in range(50):
        await answered(store, redis.zrange("places:key-1", 0, 0)[0].decode())
    small = [await accepted(store, "small") for _ in range(5)]
    served = []
    for _ in range(12):
        served.append(redis.zrange("places:key-1", 0, 0)[0].decode())
        await answered(store, served[-1])
    turns = [at for at, each in enumerate(served) if each in small]
    assert len(turns) == 5, "it waits longer than its turn"
    assert all(later - earlier == 2 for earlier, later in pairwise(turns)), "it takes more than that"


async def test_priority_is_a_head_start_across_tenants_that_is_paid_for(store: JobStore, redis: Redis) -> None:
    """Urgent jobs of one tenant go before the normal ones of another, four turns of them, and then in turn again."""
    jobs = {}
    for _ in range(10):
        jobs[await accepted(store, "calm")] = "calm"
        jobs[await accepted(store, "hasty", priority=9)] = "hasty"
    served = "".join(jobs[each][0] for each in await release_order(store, redis, 20))
    assert served == "hhhh" + "ch" * 6 + "cccc"


async def test_the_lowest_priority_is_served_while_the_highest_keeps_coming(store: JobStore, redis: Redis) -> None:
    """A head start is bounded, whatever comes after it."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await store.accept([order(store, "hasty", priority=9) for _ in range(60)], ROOM)
    low = await accepted(store, "calm", priority=0)
    for _ in range(LARGEST_HEAD_START + 3):
        placed = redis.zrange("places:key-1", 0, 0)[0].decode()
        if placed == low:
            return
        await answered(store, placed)
        await accepted(store, "hasty", priority=9)
    raise AssertionError("it still waits")


TENANTS = ("a", "b", "c", "d")
REQUESTS = st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from([5, 5, 5, 0, 2, 9])), min_size=2, max_size=40)
WEIGHTS = st.fixed_dictionaries({tenant: st.sampled_from([1, 1, 2, 3]) for tenant in TENANTS})


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=REQUESTS, weights=WEIGHTS)
def test_nobody_gets_ahead_by_more_than_a_turn_and_the_head_starts(
    redis_url: str, requests: list[tuple[str, int]], weights: dict[str, int]
) -> None:
    """Any two tenants that both wait have had the same by weight, give or take a turn and head starts."""
    served = _on_store(redis_url, lambda store, redis: _serve(store, redis, requests, weights))
    left = Counter(tenant for tenant, _ in requests)
    # the place that was free at the start is nobody's turn
    had: dict[str, float] = defaultdict(float)
    assert len(served) == len(requests), "a job was lost in the queue"
    for tenant in served:
        had[tenant] += 1 / weights[tenant]
        left[tenant] -= 1
        waiting = [each for each in left if left[each]]
        if len(waiting) > 1:
            spread = max(had[each] for each in waiting) - min(had[each] for each in waiting)
            assert spread <= 1 + LARGEST_HEAD_START, f"{dict(had)} after {served}"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(tenants=st.lists(st.sampled_from(TENANTS), min_size=2, max_size=30), weights=WEIGHTS)
def test_the_position_that_is_told_is_the_turn_that_comes(
    redis_url: str, tenants: list[str], weights: dict[str, int]
) -> None:
    """With nothing but normal priorities, every waiting job's position is exactly how many go before it."""

    async def scenario(store: JobStore, redis: Redis) -> None:
        redis.hset("fair:weights", mapping=weights)
        ids = [await accepted(store, tenant) for tenant in tenants]
        told = {}
        for job_id in ids:
            found = await store.view(job_id)
            assert found is not None
            assert found.standing is not None
            told[job_id] = found.standing.position
        assert [told[each] for each in await release_order(store, redis, len(ids))] == list(range(len(ids)))

    _on_store(redis_url, scenario)


async def test_an_accept_tells_the_position_that_is_shown_later(store: JobStore) -> None:
    """For a batch as well, and with jobs of others before it."""
    await accepted(store, "b")
    await accepted(store, "acme")
    batch = [order(store) for _ in range(3)]
    told = (await store.accept(batch, ROOM)).standings
    shown = [await store.view(each.id) for each in batch]
    assert [each.position for each in told] == [2, 3, 4]
    assert [each.standing and each.standing.position for each in shown] == [2, 3, 4]


async def test_a_paused_tenant_keeps_its_jobs_and_gathers_no_credit(store: JobStore, redis: Redis) -> None:
    """Others go on; afterwards it is served in turn, not all at once."""
    flow = FlowControl(store._lane, store)
    await flow.pause_tenant("p", "unpaid")
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    paused = [await accepted(store, "p") for _ in range(6)]
    assert redis.zcard("places:key-1") == 0, "a paused tenant's job was handed out"
    for _ in range(20):
        await accepted(store, "other")
    served = []
    for turn in range(14):
        if turn == 8:
            await flow.pause_tenant("p", None)
        served.append(redis.zrange("places:key-1", 0, 0)[0].decode())
        await answered(store, served[-1])
    turns = [at for at, each in enumerate(served) if each in paused]
    assert turns[0] in (9, 10)
    assert all(later - earlier == 2 for earlier, later in pairwise(turns))


async def _serve(store: JobStore, redis: Redis, requests: list[tuple[str, int]], weights: dict[str, int]) -> list[str]:
    redis.hset("fair:weights", mapping=weights)
    jobs = {await accepted(store, tenant, priority=priority): tenant for tenant, priority in requests}
    return [jobs[each] for each in await release_order(store, redis, len(jobs))]


def _on_store(url: str, scenario: Any) -> Any:
    async def run() -> Any:
        redis = Redis.from_url(url)
        redis.flushall()
        lane = Lane(connect(url, 5), 5)
        try:
            work: Coroutine[Any, Any, Any] = scenario(JobStore(lane, message_template(app), KEY_PREFIX, 60_000), redis)
            return await work
        finally:
            await lane.aclose()
            redis.close()

    return asyncio.run(run())
