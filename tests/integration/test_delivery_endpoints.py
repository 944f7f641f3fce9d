"""Endpoints that fail are disabled, and what was not told is told again: with the same id, at a pace."""

from dataclasses import replace

import pytest
from redis import Redis

from tests.support.deliveries import BROKEN, GONE, HERE, OK, URL, ended_job, tried
from worker.store.jobs import JobStore
from worker.telling.deliveries import FAILING_MS, MOST_REPLAYED, QUIET_MS, DeliveryStore
from worker.telling.schedule import Next


async def state_of(deliveries: DeliveryStore, delivery_id: str) -> str:
    found = await deliveries.read(delivery_id)
    assert found is not None
    return found.state


async def test_an_endpoint_that_has_failed_for_five_days_is_disabled_and_then_enabled_by_hand(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Later deliveries are not sent and say so; enabled, they can be replayed."""
    first, second, third = [await ended_job(store, URL) for _ in range(3)]
    key = f"endpoint:acme:{HERE.endpoint}"
    assert await tried(deliveries, first, BROKEN, Next("exhausted")) == ""
    [endpoint] = await deliveries.endpoints("acme")
    assert (endpoint.url, endpoint.failures, endpoint.disabled_at) == ("https://hooks.example/told", 1, None)
    assert endpoint.failing_since is not None
    redis.hset(key, "failing_since", endpoint.failing_since - FAILING_MS)
    assert await tried(deliveries, second, BROKEN, Next("pending", 5)) == "failing"
    assert (await deliveries.claim(third, HERE)).verdict == "endpoint_disabled"
    assert (await state_of(deliveries, third), redis.zscore("deliveries:due", third)) == ("endpoint_disabled", None)
    assert await deliveries.replay("acme", third) == "endpoint_disabled"
    assert await deliveries.enable("acme", HERE.endpoint)
    assert await deliveries.replay("acme", third) == "replayed"
    assert await tried(deliveries, third, OK, Next("delivered")) == ""
    assert await deliveries.counts() == {"delivered": 1, "exhausted": 1, "pending": 1, "endpoint_disabled": 0}


@pytest.mark.parametrize("between", ["success", "quiet"])
async def test_failures_that_are_not_one_outage_disable_nothing(
    deliveries: DeliveryStore, store: JobStore, redis: Redis, between: str
) -> None:
    """A success between them, or days in which nothing was tried."""
    key = f"endpoint:acme:{HERE.endpoint}"
    await tried(deliveries, await ended_job(store, URL), BROKEN, Next("exhausted"))
    redis.hset(key, "failing_since", 1)
    if between == "success":
        await tried(deliveries, await ended_job(store, URL), OK, Next("delivered"))
    else:
        redis.hset(key, "failed_at", store.now() - QUIET_MS - 1000)
    assert await tried(deliveries, await ended_job(store, URL), BROKEN, Next("pending", 5)) == ""


async def test_a_410_disables_at_once_only_that_tenants_endpoint(deliveries: DeliveryStore, store: JobStore) -> None:
    """The same address of another tenant goes on."""
    assert await tried(deliveries, await ended_job(store, URL), GONE, Next("gone")) == "gone"
    assert (await deliveries.claim(await ended_job(store, URL), HERE)).verdict == "endpoint_disabled"
    theirs = await ended_job(store, URL, "other")
    assert (await deliveries.claim(theirs, replace(HERE, tenant="other"))).verdict == "claimed"


async def test_a_replay_has_the_whole_schedule_again_and_keeps_the_rows(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Also of one that was delivered; one that is under way is told anyway."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, BROKEN, Next("exhausted"))
    assert await deliveries.replay("acme", an_id) == "replayed"
    assert redis.zscore("deliveries:due", an_id) is not None
    assert await deliveries.replay("acme", an_id) == "under_way"
    claim = await deliveries.claim(an_id, HERE)
    assert claim.delivery
    assert (claim.delivery.tries, claim.delivery.replayed_after) == (1, 1)
    assert await deliveries.replay("acme", an_id) == "under_way"
    await deliveries.keep(claim.delivery, HERE, claim.at, OK, Next("delivered"))
    assert await deliveries.replay("acme", an_id) == "replayed"
    assert await deliveries.replay("other", an_id) == "missing"
    found = await deliveries.read(an_id)
    assert found is not None
    assert [row["status"] for row in found.attempts] == [500, 200]


@pytest.mark.leaves_keys("twelve thousand deliveries are made faster without their jobs")
async def test_a_bulk_replay_is_paced_bounded_and_safe_to_repeat(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Of twelve thousand the oldest ten thousand go, fifty a second, and a second call goes on from there."""
    began = store.now()
    with redis.pipeline() as pipe:
        for n in range(12_000):
            an_id = f"msg_{n:026d}_2"
            pipe.hset(f"delivery:{an_id}", mapping={"job": "j", "tenant": "acme", "state": "exhausted"})
            pipe.zadd("deliveries:tenant:acme", {an_id: 1000 + n})
        pipe.execute()
    counted = await deliveries.replay_since("acme", 1000, counts_only=True)
    assert (counted.replayed, redis.zcard("deliveries:due")) == (MOST_REPLAYED, 0)
    done = await deliveries.replay_since("acme", 1000)
    assert (done.replayed, done.skipped, done.next_since) == (MOST_REPLAYED, 0, 1000 + MOST_REPLAYED)
    again = await deliveries.replay_since("acme", 1000)
    assert (again.replayed, again.skipped) == (0, MOST_REPLAYED)
    rest = await deliveries.replay_since("acme", done.next_since)
    assert (rest.replayed, rest.next_since) == (2000, None)
    times = [at for _, at in redis.zrange("deliveries:due", 0, -1, withscores=True)]
    assert [times[n + 1] - times[n] for n in range(11_999)] == [20.0] * 11_999
    assert times[0] >= began
    assert (await deliveries.replay_since("acme", 0, state="delivered")).replayed == 0


async def test_everything_of_a_delivery_goes_with_its_job(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """No index keeps what was forgotten; the endpoint is the tenant's and stays."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, BROKEN, Next("pending", 5))
    found = await store.load(an_id.split("_")[1])
    assert found is not None
    await store.forget(found.job)
    left = {key.decode() for key in redis.keys("*") if b"deliver" in key or b"line:" in key or b"telling:" in key}
    assert left == {"deliveries:counts"}
    assert set((await deliveries.counts()).values()) == {0}


async def test_of_a_tenants_endpoints_the_thousand_used_last_are_known(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Whoever puts a job's id into the path fills no memory with it."""
    for n in range(1001):
        redis.zadd("endpoints:acme", {f"ep_{n:016x}": n})
        redis.hset(f"endpoint:acme:ep_{n:016x}", "url", "https://a.example")
    await tried(deliveries, await ended_job(store, URL), OK, Next("delivered"))
    assert redis.zcard("endpoints:acme") == 1000
    assert redis.exists("endpoint:acme:ep_0000000000000000", "endpoint:acme:ep_0000000000000001") == 0
    assert (await deliveries.endpoints("acme"))[0].id == HERE.endpoint
