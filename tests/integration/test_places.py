"""A place is held for as long as the upstream may hold the request, and comes back by itself where nobody tells."""

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, SUCCESS, accepted, advanced, answered, claimed, done, loaded, placed
from worker.job import decisions
from worker.job.answer import Answer, NotTaken, Open, Reason, Taken
from worker.job.record import Status
from worker.operate.flow import FlowControl
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

PROCESSING = Taken(Answer("processing", request_id="7", eta_seconds=5))
MINUTE = 60_000
AFTER_ALL = 4_000_000


async def expired(store: JobStore, job_id: str) -> None:
    """Its deadline passes."""
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.woken(found.job, found.now + AFTER_ALL, DURATIONS))


async def called_back(store: JobStore, job_id: str, number: int = 1) -> None:
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.called_back(found.job, number, SUCCESS.answer, found.now, DURATIONS))  # type: ignore[union-attr]


def kept_for(store: JobStore, redis: Redis, member: str) -> float:
    """Minutes until the place comes back by itself."""
    return (float(redis.zscore("places:key-1", member) or 0) - store.now()) / MINUTE


async def one_place(store: JobStore, outcome: object = PROCESSING) -> str:
    """A job that has the only place of the key, and what its POST came to."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store, on_unknown="resubmit")
    await answered(store, job_id, outcome)  # type: ignore[arg-type]
    return job_id


async def test_a_deadline_does_not_free_a_place_that_the_upstream_holds(store: JobStore, redis: Redis) -> None:
    """The next job gets it when the callback comes, late as it is; how long it was held is learned."""
    job_id = await one_place(store)
    following = await accepted(store)
    await expired(store, job_id)
    assert placed(redis) == [job_id]
    assert 4.9 < kept_for(store, redis, job_id) <= 5
    redis.hincrby(f"job:{job_id}", "placed", -20_000)
    await called_back(store, job_id)
    assert placed(redis) == [following]
    assert 20_000 <= int(redis.hget("flow", "hold_ms") or 0) < 25_000
    assert not redis.hexists(f"job:{job_id}", "placed")


async def test_a_place_that_nobody_tells_of_comes_back_after_thrice_the_usual_time(
    store: JobStore, redis: Redis
) -> None:
    """Never in less than five minutes; a second look at the ended job does not make it longer."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await done(store, redis, await accepted(store), hold_ms=10 * MINUTE, done_ms=11 * MINUTE)
    job_id = await one_place(store)
    await expired(store, job_id)
    assert 29 < kept_for(store, redis, job_id) <= 30.5
    redis.zincrby("places:key-1", -10 * MINUTE, job_id)
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.polled(found.job, 1, None, found.now, DURATIONS))
    assert kept_for(store, redis, job_id) < 21


async def test_a_place_given_back_by_itself_leaves_the_record_as_well(store: JobStore, redis: Redis) -> None:
    """And is handed to the next; but a job that only waits for its worker keeps its own."""
    job_id = await one_place(store)
    following = await accepted(store)
    await expired(store, job_id)
    redis.zadd("places:key-1", {job_id: 1})
    await store.queue.tick()
    assert placed(redis) == [following]
    assert (await loaded(store, job_id)).job.place is None
    redis.zadd("places:key-1", {following: 1})
    await store.queue.tick()
    assert (await loaded(store, following)).job.place == "key-1"
    assert placed(redis) == [following]
    assert kept_for(store, redis, following) > 1000


async def test_an_unknown_job_keeps_its_place_for_a_while_whatever_the_policy(store: JobStore, redis: Redis) -> None:
    """From when nobody knows on; known again, the place is its own again."""
    job_id = await one_place(store, Open("read_timeout"))
    assert 4.9 < kept_for(store, redis, job_id) <= 5
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.answered(found.job, 1, PROCESSING, found.now, DURATIONS))
    assert (await loaded(store, job_id)).job.status is Status.PROCESSING
    assert kept_for(store, redis, job_id) > 1000


async def test_what_is_sent_once_more_holds_two_places(store: JobStore, redis: Redis) -> None:
    """Attempt 1 is open still: its place is taken until its callback, or a refusal, tells."""
    job_id = await one_place(store, Open("read_timeout"))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.resolved(found.job, "resubmit", found.now, DURATIONS))
    assert placed(redis) == [f"{job_id}-1"], "the limit is one, so it waits"
    assert 4.9 < kept_for(store, redis, f"{job_id}-1") <= 5
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.answered(found.job, 1, NotTaken(Reason.BUSY), found.now, DURATIONS))
    redis.hset("upstream:key-1", "paused_until", 0)
    await store.queue.tick()
    assert placed(redis) == [job_id]


async def test_the_first_of_two_attempts_wins_and_the_place_of_the_second_stays(store: JobStore, redis: Redis) -> None:
    """Until its own callback comes."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    job_id = await accepted(store)
    await answered(store, job_id, Open("read_timeout"))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.resolved(found.job, "resubmit", found.now, DURATIONS))
    await claimed(store, job_id)
    assert set(placed(redis)) == {job_id, f"{job_id}-1"}
    await called_back(store, job_id)
    assert placed(redis) == [job_id]
    await called_back(store, job_id, 2)
    assert placed(redis) == []


FAILURE = Answer("failed", request_id="8", message="no")


async def test_the_second_of_two_attempts_gives_its_place_back_with_its_end(store: JobStore, redis: Redis) -> None:
    """The job waits for the first, which is open still."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    job_id = await accepted(store)
    await answered(store, job_id, Open("read_timeout"))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.resolved(found.job, "resubmit", found.now, DURATIONS))
    await answered(store, job_id, Taken(FAILURE))  # the second
    assert (await loaded(store, job_id)).job.status is Status.UNKNOWN
    assert placed(redis) == [f"{job_id}-1"]


@pytest.mark.parametrize("limit", [1, 3])
async def test_an_attempt_that_turns_out_to_be_taken_gives_its_place_back_with_its_end(
    store: JobStore, redis: Redis, limit: int
) -> None:
    """Its job was queued again meanwhile, behind the limit or with a place for the next attempt, which is not sent."""
    await store.queue.configure([UpstreamLimit("key-1", limit)])
    job_id = await accepted(store)
    await answered(store, job_id, Open("read_timeout"))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.resolved(found.job, "resubmit", found.now, DURATIONS))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.answered(found.job, 1, PROCESSING, found.now, DURATIONS))
    assert (await loaded(store, job_id)).job.status is Status.PROCESSING
    assert f"{job_id}-1" in placed(redis)
    await called_back(store, job_id)
    assert placed(redis) == []


@pytest.mark.parametrize("outcome", [Taken(Answer("failed", request_id="7", message="no")), NotTaken(Reason.BUSY)])
async def test_whatever_ends_the_upstreams_part_frees_the_place_of_an_ended_job(
    store: JobStore, redis: Redis, outcome: object
) -> None:
    """Its answer came after the cancel."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store)
    await claimed(store, job_id)
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.cancelled(found.job, found.now))
    assert 4.9 < kept_for(store, redis, job_id) <= 5
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.answered(found.job, 1, outcome, found.now, DURATIONS))  # type: ignore[arg-type]
    assert placed(redis) == []


async def test_a_key_that_left_the_configuration_leaves_once_it_holds_nothing(store: JobStore, redis: Redis) -> None:
    """At once from what a scaler counts, later from the queue; what an operator has set waits for its return."""
    await store.queue.configure([UpstreamLimit("key-1", 1), UpstreamLimit("key-2", 15)])
    job_id = await one_place(store)
    flow = FlowControl(store._lane, store)
    assert await flow.limit_upstream("key-2", 7)
    for name in ("key-1", "key-2"):
        assert redis.hincrby(f"upstream:{name}", "seen", -700_000) > 0
    census = await store.condition.census()
    assert (census.limits, census.in_flight["key-1"]) == ({}, 1)
    await store.queue.tick()
    assert [each.name for each in await flow.accounts()] == ["key-1"], "it holds a place"
    await called_back(store, job_id)
    await store.queue.tick()
    assert await flow.accounts() == []
    assert 0 < redis.ttl("upstream:key-2") <= 30 * 86_400
    await store.queue.configure([UpstreamLimit("key-2", 15)])
    assert [(each.name, each.override) for each in await flow.accounts()] == [("key-2", 7)]
    assert redis.ttl("upstream:key-2") == -1
    assert (await store.condition.census()).limits == {"key-2": 7}


async def test_the_turns_of_idle_tenants_are_forgotten(store: JobStore, redis: Redis) -> None:
    """Once the queue's time is later than theirs; whoever waits, or was served beyond it, keeps its own."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    for tenant in ("idle", "idle", "busy", "busy", "busy", "busy", "busy", "waits", "waits", "waits", "waits"):
        await accepted(store, tenant)
    for _ in range(8):
        await answered(store, placed(redis)[0])
    await store.queue.tick()
    kept = {tenant.decode() for tenant in redis.hkeys("fair:time")}
    assert "idle" not in kept
    assert {tenant.decode() for tenant in redis.hkeys("backlogs")} <= kept


async def test_workers_that_are_gone_are_forgotten_by_those_that_are_there(store: JobStore, redis: Redis) -> None:
    """Nobody has to ask for that."""
    await store.condition.note_alive("gone", "submit")
    redis.zincrby("workers", -20_000, "gone")
    await store.condition.note_alive("here", "submit")
    assert redis.zrange("workers", 0, -1) == [b"here"]


async def test_a_queue_that_no_worker_looks_at_is_named(store: JobStore, redis: Redis) -> None:
    """Also where a worker was there and is not any more; one that stands still is none."""
    await store.condition.note_alive("here", "submit")
    assert await store.condition.queues_left_alone() == ["settle", "collect", "tell"]
    redis.hincrby("takers", "submit", -20_000)
    assert "submit" in await store.condition.queues_left_alone()
    await store.condition.note_standing_still("here")
    assert await store.condition.workers_alive() == 0
