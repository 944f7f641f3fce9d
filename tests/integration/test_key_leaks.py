"""The check that follows every integration test finds what it is for: tests/support/key_leaks.py."""

from collections.abc import Callable

import pytest
from redis import Redis

from tests.support.key_leaks import leaks
from tests.support.queue import accepted, answered
from worker.store import keys
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

pytestmark = pytest.mark.leaves_keys("that is what it is about")
GONE = "01M859N4P0ZK88SXJWVC1PBXXR"

LEAKS: dict[str, tuple[Callable[[Redis], object], str]] = {
    "no family": (lambda redis: redis.set("job-copy", 1), "job-copy: is in no family of worker/store/keys.py"),
    "no time": (lambda redis: redis.set(keys.RATE("acme"), 1), "rate:acme: has no time to live"),
    "its record is gone": (
        lambda redis: redis.rpush(keys.INBOX(GONE), "1 1 {}"),
        f"inbox:{GONE}: inbox:{GONE} is of no job",
    ),
    "a member": (lambda redis: redis.zadd(keys.FINISHED(), {GONE: 1}), f"finished: {GONE} is of no job"),
    "a delivery": (
        lambda redis: redis.zadd(keys.DELIVERIES_DUE(), {f"msg_{GONE}_2": 1}),
        f"deliveries:due: msg_{GONE}_2 is of no job",
    ),
    "another type": (lambda redis: redis.set(keys.COUNTS(), 1), "counts: is a string, not a hash"),
}


@pytest.mark.parametrize(("leave", "told"), LEAKS.values(), ids=LEAKS)
async def test_what_is_left_behind_is_told(
    leave: Callable[[Redis], object], told: str, store: JobStore, redis: Redis
) -> None:
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    await answered(store, await accepted(store))
    await accepted(store)
    assert leaks(redis) == [], "what jobs, tenants and accounts need is no leak"
    leave(redis)
    assert told in leaks(redis)
