"""Webhook deliveries: places per host and tenant, and the lines before them.

Setup: jobs that were accepted and have ended, on a real server. Proves: nobody is held up by another's receiver.
"""

from dataclasses import replace

from redis import Redis

from config.settings import Settings
from tests.support.deliveries import BROKEN, HERE, HUNG, OK, URL, ended_job, messages, they_died, tried
from worker.composition import delivery_store
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.telling.deliveries import IN_LINE_MS, LEAST_UNPROVEN, DeliveryStore
from worker.telling.record import Target
from worker.telling.schedule import Next

HUNG_OFTEN = 3


async def test_a_host_has_its_places_and_the_line_before_them_moves_with_each_that_is_free(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Put off without a try and without a row; the first in line is woken by a message."""
    ids = [await ended_job(store, URL) for _ in range(4)]
    messages(redis)
    verdicts = [(await deliveries.claim(each, HERE)).verdict for each in ids]
    assert verdicts == ["claimed", "claimed", "put_off", "put_off"]
    elsewhere = Target.of("acme", "https://hooks.example:444/told")
    other = await ended_job(store, elsewhere.url)
    assert (await deliveries.claim(other, elsewhere)).verdict == "claimed"
    messages(redis)
    first = await deliveries.read(ids[0])
    assert first is not None
    await deliveries.keep(first, HERE, 0, BROKEN, Next("pending", 5))
    assert messages(redis) == [ids[2]]
    assert (await deliveries.claim(ids[2], HERE)).verdict == "claimed"
    waiting = await deliveries.read(ids[3])
    assert waiting is not None
    assert (waiting.tries, waiting.attempts) == (0, ())


async def test_a_tenants_places_are_bounded_and_its_dead_hosts_do_not_block_its_line(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Three hosts take all three places; another tenant is told meanwhile; one that frees a place wakes the next."""
    targets = [Target.of("acme", f"https://h{n}.example/") for n in range(4)]
    ids = [await ended_job(store, target.url) for target in targets]
    claims = [await deliveries.claim(an_id, target) for an_id, target in zip(ids, targets, strict=True)]
    assert [claim.verdict for claim in claims] == ["claimed", "claimed", "claimed", "put_off"]
    theirs = await ended_job(store, targets[3].url, "other")
    assert (await deliveries.claim(theirs, replace(targets[3], tenant="other"))).verdict == "claimed"
    messages(redis)
    assert claims[0].delivery
    await deliveries.keep(claims[0].delivery, targets[0], 0, OK, Next("delivered"))
    assert messages(redis) == [ids[3]]


async def test_the_place_of_a_worker_that_died_is_given_back_by_itself(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Between the POST and its row: claimed again once the claim is over, by turns with those who waited for it."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    for each in ids:
        await deliveries.claim(each, HERE)
    they_died(redis, ids[:2])
    assert [(await deliveries.claim(each, HERE)).verdict for each in ids] == ["claimed", "put_off", "claimed"]


async def test_those_in_line_behind_a_worker_that_died_are_not_left_there(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Nobody gives its places back: the lines are looked at, each time by whoever has the time."""
    ids = [await ended_job(store, URL) for _ in range(4)]
    for each in ids:
        await deliveries.claim(each, HERE)
    messages(redis)
    they_died(redis, ids[:2])
    redis.zadd("lines:telling", dict.fromkeys(redis.zrange("lines:telling", 0, -1), 0), xx=True)
    await deliveries.look_at_lines()
    assert messages(redis) == ids[2:]
    assert [(await deliveries.claim(each, HERE)).verdict for each in ids] == [
        "put_off",
        "put_off",
        "claimed",
        "claimed",
    ]


async def test_a_tenant_whose_deliveries_hang_keeps_no_other_from_the_same_host(
    settings: Settings, store: JobStore, redis: Redis
) -> None:
    """With the caps as they are: 64 to one receiver hang; another tenant's, and another receiver of its own, go on."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    deliveries = delivery_store(settings, lane)
    hanging = [await ended_job(store, URL) for _ in range(64)]
    verdicts = [(await deliveries.claim(each, HERE)).verdict for each in hanging]
    assert verdicts.count("claimed") == settings.tell_per_endpoint
    theirs = await ended_job(store, URL, "other")
    assert (await deliveries.claim(theirs, replace(HERE, tenant="other"))).verdict == "claimed"
    own = Target.of("acme", "https://hooks.example/another")
    assert (await deliveries.claim(await ended_job(store, own.url), own)).verdict == "claimed"
    await lane.aclose()


async def test_tenants_take_turns_at_a_shared_host(deliveries: DeliveryStore, store: JobStore, redis: Redis) -> None:
    """Two that fill the host have twenty more in line each; the one that comes last has one at once, and its second
    waits for no more than a turn of each."""
    tenants = ("one", "two")
    ids = {tenant: [await ended_job(store, URL, tenant) for _ in range(22)] for tenant in tenants}
    claims = {
        each: await deliveries.claim(each, replace(HERE, tenant=tenant)) for tenant in tenants for each in ids[tenant]
    }
    first, last = [await ended_job(store, URL, "quiet") for _ in range(2)]
    assert (await deliveries.claim(first, replace(HERE, tenant="quiet"))).verdict == "claimed"
    assert (await deliveries.claim(last, replace(HERE, tenant="quiet"))).verdict == "put_off"
    messages(redis)
    for tenant, n in (("one", 0), ("two", 0), ("one", 1), ("two", 1)):
        claimed = claims[ids[tenant][n]].delivery
        assert claimed
        await deliveries.keep(claimed, replace(HERE, tenant=tenant), 0, OK, Next("delivered"))
    woken = messages(redis)
    assert len(woken) == 3 and last in woken
    assert (await deliveries.claim(last, replace(HERE, tenant="quiet"))).verdict == "claimed"


async def test_endpoints_that_have_not_answered_share_a_quarter_of_their_tenants_places(
    settings: Settings, store: JobStore, redis: Redis
) -> None:
    """New ones and those whose last try hung; one that has answered has the rest, until it hangs too."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    deliveries = delivery_store(settings, lane)
    proven, *new = [Target.of("acme", f"https://h{n}.example/told") for n in range(31)]
    await tried(deliveries, await ended_job(store, proven.url), OK, Next("delivered"), proven)
    ids = [await ended_job(store, each.url) for each in new]
    verdicts = [(await deliveries.claim(an_id, each)).verdict for an_id, each in zip(ids, new, strict=True)]
    assert verdicts == ["claimed"] * LEAST_UNPROVEN + ["put_off"] * (len(new) - LEAST_UNPROVEN)
    hung = await ended_job(store, proven.url)
    await tried(deliveries, hung, HUNG, Next("pending", 5), proven)
    assert (await deliveries.claim(await ended_job(store, proven.url), proven)).verdict == "put_off"
    assert redis.zcard("telling:unproven:acme") == LEAST_UNPROVEN
    first = await deliveries.read(ids[0])
    assert first
    messages(redis)
    await deliveries.keep(first, new[0], 0, OK, Next("delivered"))
    assert len(messages(redis)) == 1, "the place that became free is used"
    assert redis.zcard("telling:unproven:acme") == LEAST_UNPROVEN
    await lane.aclose()


async def test_a_place_that_was_given_is_kept_for_whom_it_was_given_to(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Whoever comes between the place and the message stands behind those who wait; a line is left when it is over."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    claims = [await deliveries.claim(each, HERE) for each in ids]
    at = redis.zscore("deliveries:due", ids[2])
    assert isinstance(at, float) and at > store.now() + IN_LINE_MS - 60_000
    messages(redis)
    assert claims[0].delivery
    await deliveries.keep(claims[0].delivery, HERE, 0, OK, Next("delivered"))
    newcomer = await ended_job(store, URL)
    assert (await deliveries.claim(newcomer, HERE)).verdict == "put_off"
    assert messages(redis)[0] == ids[2]
    at = redis.zscore("deliveries:due", ids[2])
    assert isinstance(at, float) and at <= store.now() + 61_000
    assert (await deliveries.claim(ids[2], HERE)).verdict == "claimed"
    assert (await deliveries.claim(ids[2], HERE)).verdict == "none"


async def test_an_endpoint_that_hangs_again_and_again_is_told_one_at_a_time_until_it_answers(
    deliveries: DeliveryStore, store: JobStore
) -> None:
    """Three time-outs in a row, over all its deliveries; any answer gives it its places back."""
    for _ in range(HUNG_OFTEN):
        await tried(deliveries, await ended_job(store, URL), HUNG, Next("pending", 5))
    ids = [await ended_job(store, URL) for _ in range(2)]
    claims = [await deliveries.claim(each, HERE) for each in ids]
    assert [each.verdict for each in claims] == ["claimed", "put_off"]
    assert claims[0].delivery
    await deliveries.keep(claims[0].delivery, HERE, 0, BROKEN, Next("pending", 5))
    assert (await deliveries.claim(ids[1], HERE)).verdict == "claimed"
    assert (await deliveries.claim(await ended_job(store, URL), HERE)).verdict == "claimed"


async def test_a_line_that_is_over_leaves_nothing_behind(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """Its jobs are forgotten while they wait."""
    ids = [await ended_job(store, URL) for _ in range(4)]
    for each in ids:
        await deliveries.claim(each, HERE)
    for each in ids:
        found = await store.load(each.split("_")[1])
        assert found is not None
        await store.forget(found.job)
    redis.zadd("lines:telling", dict.fromkeys(redis.zrange("lines:telling", 0, -1), 0), xx=True)
    await deliveries.look_at_lines()
    assert [key for key in redis.keys("*") if key.startswith((b"line", b"turns"))] == []


async def test_a_forgotten_delivery_in_line_keeps_nobody_waiting(
    deliveries: DeliveryStore, store: JobStore, redis: Redis
) -> None:
    """It leaves the line with its job, and a stranger's id in the line is passed over."""
    ids = [await ended_job(store, URL) for _ in range(5)]
    claims = [await deliveries.claim(each, HERE) for each in ids]
    found = await store.load(ids[2].split("_")[1])
    assert found is not None
    await store.forget(found.job)
    redis.zadd(f"line:telling:acme hooks.example {HERE.endpoint}", {"msg_nobody": 0})
    messages(redis)
    assert claims[0].delivery
    await deliveries.keep(claims[0].delivery, HERE, 0, OK, Next("delivered"))
    assert messages(redis) == [ids[3]]


async def test_two_workers_with_one_delivery_write_one_row(deliveries: DeliveryStore, store: JobStore) -> None:
    """One whose claim was over comes with its row after the other's: it is not believed."""
    an_id = await ended_job(store, URL)
    claim = await deliveries.claim(an_id, HERE)
    assert claim.delivery
    await deliveries.keep(claim.delivery, HERE, claim.at, OK, Next("delivered"))
    await deliveries.keep(claim.delivery, HERE, claim.at, BROKEN, Next("pending", 5))
    found = await deliveries.read(an_id)
    assert found is not None
    assert (found.state, found.tries, [row["status"] for row in found.attempts]) == ("delivered", 1, [200])
