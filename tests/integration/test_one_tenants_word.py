"""What one tenant is refused holds back that tenant; a second tenant's refusal holds back everybody."""

import pytest
from redis import Redis

from tests.support.queue import accepted, answered, placed
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

KEY = "upstream:key-1"
REFUSED = NotTaken(Reason.KEY_REFUSED, "Invalid API key")
BUSY = NotTaken(Reason.BUSY, "queue is full", 30)
TAKEN = Taken(Answer("processing", request_id="7", eta_seconds=5))


async def refused(store: JobStore, redis: Redis, tenant: str, outcome: Outcome, times: int = 1) -> None:
    """That tenant's jobs are answered so, one after another; its pauses pass at once."""
    for _ in range(times):
        redis.hset(KEY, "paused_until", 0)
        await answered(store, await accepted(store, tenant), outcome)


async def goes(store: JobStore, redis: Redis, tenant: str) -> bool:
    """Whether a new job of that tenant gets a place at once."""
    return await accepted(store, tenant) in placed(redis)


@pytest.mark.parametrize(
    ("outcome", "times"), [(REFUSED, 1), (BUSY, 1), (NotTaken(Reason.MISCONFIGURED), 1), (Open("http_500"), 5)]
)
async def test_one_tenants_refusals_hold_back_that_tenant(
    outcome: Outcome, times: int, store: JobStore, redis: Redis
) -> None:
    """The others go on, whoever stands before them; its own next job waits."""
    await store.queue.configure([UpstreamLimit("key-1", 20)])
    await refused(store, redis, "loud", outcome, times)
    assert not await goes(store, redis, "loud")
    assert await goes(store, redis, "quiet")


@pytest.mark.parametrize(("outcome", "times"), [(REFUSED, 1), (BUSY, 1), (Open("http_500"), 5)])
async def test_a_second_tenants_refusal_holds_back_everybody(
    outcome: Outcome, times: int, store: JobStore, redis: Redis
) -> None:
    await store.queue.configure([UpstreamLimit("key-1", 20)])
    await refused(store, redis, "loud", outcome, times)
    await answered(store, await accepted(store, "second"), outcome)
    assert not await goes(store, redis, "quiet")


async def test_what_no_request_can_cause_holds_back_everybody(store: JobStore, redis: Redis) -> None:
    await store.queue.configure([UpstreamLimit("key-1", 20)])
    await answered(store, await accepted(store, "loud"), NotTaken(Reason.UNREACHABLE))
    assert not await goes(store, redis, "quiet")


async def test_a_tenant_of_trouble_after_another_is_held_back_alone(store: JobStore, redis: Redis) -> None:
    """A third tenant's job was taken between, so the account works."""
    await store.queue.configure([UpstreamLimit("key-1", 20)])
    await refused(store, redis, "loud", REFUSED)
    await answered(store, await accepted(store, "quiet"), TAKEN)
    await answered(store, await accepted(store, "second"), REFUSED)
    assert not await goes(store, redis, "second")
    assert await goes(store, redis, "quiet")


@pytest.mark.parametrize("limit", [1, 2, 4])
async def test_a_place_in_doubt_is_kept_from_its_own_tenant_only(limit: int, store: JobStore, redis: Redis) -> None:
    """Before the breaker opens as well, and although that tenant's next job stands before the others."""
    await store.queue.configure([UpstreamLimit("key-1", limit)])
    for _ in range(limit):
        await answered(store, await accepted(store, "loud"), Open("http_500"))
    assert not await goes(store, redis, "loud")
    assert await goes(store, redis, "quiet")


async def test_a_limit_that_one_tenants_word_has_cut_is_cut_for_that_tenant(store: JobStore, redis: Redis) -> None:
    """And for everybody when a second tenant is told that the queue is full."""
    await store.queue.configure([UpstreamLimit("key-1", 0)])
    await refused(store, redis, "loud", BUSY)
    assert [redis.hget(KEY, each) for each in ("limit", "uncut", "cut_of")] == [b"1", b"5", b"loud"]
    assert [await goes(store, redis, "quiet") for _ in range(6)] == [True] * 5 + [False]
    await answered(store, next(iter(placed(redis))), BUSY)
    assert [redis.hget(KEY, each) for each in ("limit", "uncut", "cut_of")] == [b"3", None, None]
