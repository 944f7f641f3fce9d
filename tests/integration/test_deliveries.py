"""Webhook deliveries: places per host and tenant, endpoints that are disabled, replays, and the door to all of it.

Setup: jobs that were accepted and have ended, on a real server. Proves: nobody is held up by another's receiver, the
same id is told again, what one tenant has is nothing to another, everything goes with its job.
"""

# ruff: noqa: ASYNC212 - the door runs in a thread of its own, and its client waits for nothing else

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis import Redis

from api.app import create_app
from api.schemas.delivery import DeliveryView, EndpointView
from config.settings import Settings
from tests.support.api_server import acmes_client, problem
from tests.support.deliveries import ended_job
from worker.composition import delivery_store
from worker.shown.delivery import delivery_view, endpoint_view
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.messages import queue_key
from worker.telling.deliveries import FAILING_MS, IN_LINE_MS, MOST_REPLAYED, QUIET_MS, DeliveryStore
from worker.telling.record import Target
from worker.telling.schedule import Next, Try

URL = "https://hooks.example/told?job=1"
HERE = Target.of("acme", URL)
OK = Try(200, None, "thanks", 0.1, None)
BROKEN = Try(500, None, "oops", 0.1, None)
GONE = Try(410, None, "", 0.1, None)
HUNG = Try(None, "TimeoutError", "", 15, None)
HUNG_OFTEN = 3
CAPS = {"tell_per_host": 2, "tell_per_tenant": 3, "tell_per_shared_host": 4}


@pytest.fixture
async def deliveries(settings: Settings) -> AsyncIterator[DeliveryStore]:
    """Two places per tenant at a host, three per tenant, four per host."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    yield delivery_store(settings.model_copy(update=CAPS), lane)
    await lane.aclose()


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """The door."""
    with acmes_client(create_app(settings)) as client:
        yield client


async def tried(deliveries: DeliveryStore, delivery_id: str, last: Try, following: Next, target: Target = HERE) -> str:
    """One try from claim to row; why the endpoint is disabled by it."""
    claim = await deliveries.claim(delivery_id, target)
    assert claim.verdict == "claimed" and claim.delivery
    return await deliveries.keep(claim.delivery, target, claim.at, last, following)


async def state_of(deliveries: DeliveryStore, delivery_id: str) -> str:
    found = await deliveries.read(delivery_id)
    assert found is not None
    return found.state


def messages(redis: Redis) -> list[str]:
    """Ids in Celery's queue of the tellers, oldest first; taken out."""
    found = []
    while message := redis.rpop(queue_key("tell")):
        found.append(json.loads(json.loads(message)["body"])[0][0])  # type: ignore[arg-type]
    return found


def they_died(redis: Redis, ids: list[str]) -> None:
    """The workers that had claimed these, a claim's time ago."""
    for key in redis.keys("telling:*"):
        for each in ids:
            redis.zadd(key, {each: 1}, xx=True)
    for each in ids:
        redis.hset(f"delivery:{each}", "claimed_until", 1)


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
    """Two that fill the host have twenty more in line each; the one that comes last with one waits for no more than a
    turn of each."""
    tenants = ("one", "two")
    ids = {tenant: [await ended_job(store, URL, tenant) for _ in range(22)] for tenant in tenants}
    claims = {
        each: await deliveries.claim(each, replace(HERE, tenant=tenant)) for tenant in tenants for each in ids[tenant]
    }
    last = await ended_job(store, URL, "quiet")
    assert (await deliveries.claim(last, replace(HERE, tenant="quiet"))).verdict == "put_off"
    messages(redis)
    for tenant, n in (("one", 0), ("two", 0), ("one", 1)):
        claimed = claims[ids[tenant][n]].delivery
        assert claimed
        await deliveries.keep(claimed, replace(HERE, tenant=tenant), 0, OK, Next("delivered"))
    woken = messages(redis)
    assert len(woken) == 3 and last in woken
    assert (await deliveries.claim(last, replace(HERE, tenant="quiet"))).verdict == "claimed"


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


async def test_the_door_shows_the_ledger_of_ones_own_tenant(
    client: httpx.Client, deliveries: DeliveryStore, store: JobStore
) -> None:
    """By job, by id, as a list with filters and pages; another tenant's is answered like one that does not exist."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    theirs = await ended_job(store, URL, "other")
    await tried(deliveries, ids[0], BROKEN, Next("pending", 5))
    job = ids[0].split("_")[1]
    [shown] = client.get(f"/v1/jobs/{job}/deliveries").json()["deliveries"]
    assert shown == client.get(f"/v1/deliveries/{ids[0]}").json()
    assert (shown["state"], shown["tries"], shown["job_id"]) == ("pending", 1, job)
    [row] = shown["attempts"]
    assert (row["status"], row["answer"], row["duration_seconds"], row["error"]) == (500, "oops", 0.1, None)
    assert row["at"] < row["next_try_at"]
    assert shown["next_try_at"]
    listed: list[str] = []
    cursor = ""
    while cursor is not None:
        page = client.get("/v1/deliveries", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        listed += [each["id"] for each in page["deliveries"]]
        cursor = page["next_cursor"]
    assert listed == ids[::-1]
    assert client.get("/v1/deliveries", params={"state": "exhausted"}).json()["deliveries"] == []
    assert client.get("/v1/deliveries", params={"since": "2100-01-01T00:00:00Z"}).json()["deliveries"] == []
    for address in (f"/v1/deliveries/{theirs}", "/v1/deliveries/msg_01M859N4P0ZK88SXJWVC1PBXXR_2", "/v1/deliveries/x"):
        answers = [client.get(address), client.post(f"{address}/replay")]
        assert {problem(answer, 404, "not_found")["detail"] for answer in answers} == {"There is no such delivery."}
    problem(client.get(f"/v1/jobs/{theirs.split('_')[1]}/deliveries"), 404, "not_found")
    assert client.get("/v1/deliveries", headers={"authorization": "Bearer nobody"}).status_code == 401


async def test_a_page_goes_on_after_the_delivery_that_its_cursor_names_was_forgotten(
    client: httpx.Client, store: JobStore
) -> None:
    """From when it was made."""
    ids = [await ended_job(store, URL) for _ in range(3)]
    cursor = client.get("/v1/deliveries", params={"limit": 1}).json()["next_cursor"]
    found = await store.load(ids[2].split("_")[1])
    assert found is not None
    await store.forget(found.job)
    rest = client.get("/v1/deliveries", params={"cursor": cursor}).json()["deliveries"]
    assert [each["id"] for each in rest] == [ids[1], ids[0]]


@pytest.mark.parametrize(
    ("query", "field"),
    [("state=x", "state"), ("since=x", "since"), ("limit=0", "limit"), ("limit=0000001999", "limit"),
     ("cursor=x", "cursor"), ("color=x", "color")],
)  # fmt: skip
def test_a_bad_parameter_is_named_with_what_is_allowed(client: httpx.Client, query: str, field: str) -> None:
    """A problem, as everywhere."""
    refused = problem(client.get(f"/v1/deliveries?{query}"), 422, "invalid_request")
    assert [(error["field"], bool(error["allowed"])) for error in refused["errors"]] == [(field, True)]


@pytest.mark.parametrize(
    ("body", "field"),
    [("", "since"), ("{}", "since"), ('{"since": 5}', "since"), ('{"since": "x"}', "since"),
     ('{"since": "2026-01-01T00:00:00Z", "state": "x"}', "state")],
)  # fmt: skip
def test_a_bad_replay_is_refused_naming_the_field(client: httpx.Client, body: str, field: str) -> None:
    """And replays nothing."""
    refused = problem(client.post("/v1/deliveries/replay", content=body), 422, "invalid_request")
    assert [error["field"] for error in refused["errors"]] == [field]


async def test_replay_and_enable_over_http(client: httpx.Client, deliveries: DeliveryStore, store: JobStore) -> None:
    """A 410, its endpoint listed as disabled, enabled, told again; nothing of it for another tenant."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, GONE, Next("gone"))
    [endpoint] = client.get("/v1/webhook-endpoints").json()["endpoints"]
    assert (endpoint["state"], endpoint["reason"], endpoint["url"]) == (
        "disabled",
        "gone",
        "https://hooks.example/told",
    )
    problem(client.post(f"/v1/deliveries/{an_id}/replay"), 409, "conflict")
    other = {"authorization": "Bearer other-key-0123"}
    assert client.get("/v1/webhook-endpoints", headers=other).json() == {"endpoints": []}
    for wrong, headers in ((endpoint["id"], other), ("ep_0", {}), ("ep_0123456789abcdef", {})):
        problem(client.post(f"/v1/webhook-endpoints/{wrong}/enable", headers=headers), 404, "not_found")
    assert client.post(f"/v1/webhook-endpoints/{endpoint['id']}/enable").json()["state"] == "ok"
    again = client.post(f"/v1/deliveries/{an_id}/replay")
    assert (again.status_code, again.json()["state"], again.json()["id"]) == (202, "pending", an_id)
    await tried(deliveries, an_id, OK, Next("delivered"))
    since = {"since": "2026-01-01T00:00:00Z", "state": "delivered"}
    assert client.post("/v1/deliveries/replay", json=since).json() == {"replayed": 1, "skipped": 0, "next_since": None}
    assert client.post("/v1/deliveries/replay", json=since, headers=other).json()["replayed"] == 0
    assert 'darkroom_deliveries{state="pending"} 1.0' in client.get("/metrics").text


def test_a_tenant_sees_and_rotates_its_own_secret_only(client: httpx.Client) -> None:
    """The shared one is not shown: with it one tenant could sign what another believes."""
    assert client.get("/v1/webhook-secret").json() == {"secret": None, "shared": True, "previous_until": None}
    made = client.post("/v1/webhook-secret/rotate").json()
    assert made["secret"].startswith("whsec_") and made["previous_until"] and not made["shared"]
    assert client.get("/v1/webhook-secret").json() == made
    assert client.post("/v1/webhook-secret/rotate").json()["secret"] != made["secret"]
    other = {"authorization": "Bearer other-key-0123"}
    assert client.get("/v1/webhook-secret", headers=other).json()["shared"] is True


async def test_what_is_answered_is_what_openapi_says(deliveries: DeliveryStore, store: JobStore) -> None:
    """Field by field."""
    an_id = await ended_job(store, URL)
    await tried(deliveries, an_id, GONE, Next("gone"))
    found, [endpoint] = await deliveries.read(an_id), await deliveries.endpoints("acme")
    assert found is not None
    shown: list[tuple[Any, dict[str, Any]]] = [
        (DeliveryView, delivery_view(found)),
        (EndpointView, endpoint_view(endpoint)),
    ]
    for model, view in shown:
        assert model.model_validate(view, strict=True).model_dump() == view
