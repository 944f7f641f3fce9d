"""Keys of the pool and the operator's hand on them: which goes first, drained, limited, paused, added, taken out."""

from pathlib import Path

from redis import Redis

from config.settings import Settings
from tests.support.queue import ROOM, accepted, answered, order, placed
from worker.job.answer import NotTaken, Reason
from worker.operate.flow import FlowControl
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit
from worker.upstream.accounts import Accounts


def limit(redis: Redis, name: str = "key-1") -> int:
    return int(redis.hget(f"upstream:{name}", "limit") or 0)


async def test_the_least_loaded_key_goes_first(store: JobStore, redis: Redis) -> None:
    """By share of its own limit."""
    await store.queue.configure([UpstreamLimit("key-1", 10), UpstreamLimit("key-2", 5)])
    for _ in range(9):
        await accepted(store)
    assert (len(placed(redis, "key-1")), len(placed(redis, "key-2"))) == (6, 3)


async def test_one_key_dying_delays_nothing_of_the_others(store: JobStore, redis: Redis) -> None:
    """What it refused goes to the other key, before those that came later."""
    await store.queue.configure([UpstreamLimit("key-1", 1), UpstreamLimit("key-2", 1)])
    ids = [await accepted(store) for _ in range(6)]
    dead = placed(redis, "key-1")[0]
    await answered(store, dead, NotTaken(Reason.KEY_REFUSED, "Invalid API key"))
    await answered(store, placed(redis, "key-2")[0])
    assert placed(redis, "key-2") == [dead]
    assert placed(redis, "key-1") == []
    assert redis.get("waiting") == b"4"
    assert len(ids) == 6


async def test_a_drained_key_gets_nothing_and_keeps_what_it_has(
    store: JobStore, redis: Redis, flow: FlowControl
) -> None:
    """Until it is resumed; a key that nobody knows is said."""
    await store.queue.configure([UpstreamLimit("key-1", 2), UpstreamLimit("key-2", 1)])
    assert not await flow.drain("key-9", "why")
    assert await flow.drain("key-1", "contract ended")
    for _ in range(3):
        await accepted(store)
    assert (placed(redis, "key-1"), len(placed(redis, "key-2"))) == ([], 1)
    assert await flow.drain("key-1", None)
    assert len(placed(redis, "key-1")) == 2


async def test_an_operators_limit_stands_above_the_configuration(
    store: JobStore, redis: Redis, flow: FlowControl
) -> None:
    """At once, over every later look of a worker, until it is given back."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    for _ in range(6):
        await accepted(store)
    assert await flow.limit_upstream("key-1", 4)
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    assert len(placed(redis)) == 4
    assert await flow.limit_upstream("key-1", None)
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    assert limit(redis) == 1


async def test_a_limit_raised_by_thousands_is_filled_in_several_runs(
    store: JobStore, redis: Redis, flow: FlowControl
) -> None:
    """So that no script holds up Redis for long; nothing is left behind."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    for _ in range(4):
        await store.accept([order(store) for _ in range(300)], ROOM)
    assert await flow.limit_upstream("key-1", 2000)
    assert 500 <= len(placed(redis)) < 1200
    for _ in range(3):
        await store.queue.tick()
    assert len(placed(redis)) == 1200


async def test_everything_paused_hands_out_nothing(store: JobStore, redis: Redis, flow: FlowControl) -> None:
    """Jobs are accepted and wait, with the reason in sight."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    await flow.pause("maintenance")
    job_id = await accepted(store)
    found = await store.view(job_id)
    assert placed(redis) == []
    assert found is not None
    assert found.standing is not None
    assert found.standing.held_back == "maintenance"
    await flow.resume()
    assert placed(redis) == [job_id]


def test_the_pool_changes_with_its_file(tmp_path: Path) -> None:
    """A key is added and taken out while everything runs; one that went is still known for what it has."""
    keys = tmp_path / "keys"
    keys.write_text("first-key\n")
    pool = Accounts(Settings(_env_file=None, upstream_key=f"@{keys}"))
    (first,) = pool.used
    keys.write_text("second-key\nhttps://gpu.example/api|third-key\n")
    pool.refresh()
    assert len(pool.used) == 2
    assert first not in pool.used
    assert pool.account(first).key == "first-key"
    keys.write_text("")
    pool.refresh()
    assert len(pool.used) == 2, "an empty file is a mistake, not an order"
