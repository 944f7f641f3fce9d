"""What every write leaves behind for whoever comes next: due times, messages, ends, how long things are kept."""

from redis import Redis

from tests.support.queue import DURATIONS, IMAGE, SUCCESS, accepted, advanced, answered, loaded, order
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.store import keys
from worker.store.admission import Allowance
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit

PROCESSING = Taken(Answer("processing", request_id="7", eta_seconds=5))
DAY_MS = 86_400_000


async def test_a_job_that_waits_is_looked_at_at_its_deadline(store: JobStore, redis: Redis) -> None:
    """One that has its place a lease after it was handed out, as its message may be lost."""
    made = order(store, deadline_ms=2_000_000)
    assert (await store.accept([made], Allowance(10))).verdict == "created"
    assert redis.zscore("due", made.id) == made.deadline_at
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    assert 0 < int(redis.zscore("due", made.id) or 0) - store.now() <= 60_000


async def test_an_idempotency_key_is_kept_for_a_day(store: JobStore, redis: Redis) -> None:
    """And an hour; the images of a day for as long as a month's budget needs them."""
    await store.accept([order(store)], Allowance(10), (keys.IDEMPOTENCY("acme", "1"), "print"))
    assert DAY_MS < redis.pttl(keys.IDEMPOTENCY("acme", "1")) <= 25 * 3_600_000
    (usage,) = redis.keys("usage:acme:*")
    assert 39 * DAY_MS < redis.pttl(usage) <= 40 * DAY_MS


async def test_a_woken_job_is_counted_and_looked_at_again_at_its_deadline_at_the_latest(
    store: JobStore, redis: Redis
) -> None:
    """Whoever records a step takes the count away."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store, deadline_ms=20_000)
    await answered(store, job_id, PROCESSING)
    redis.zadd("due", {job_id: 1})
    await store.queue.tick()
    found = await loaded(store, job_id)
    assert found.job.stalls == 1
    assert redis.zscore("due", job_id) == found.job.order.deadline_at
    await advanced(store, found, decisions.polled(found.job, 1, None, found.now, DURATIONS))
    assert (await loaded(store, job_id)).job.stalls == 0


async def test_a_result_has_its_message_to_be_collected(store: JobStore, redis: Redis) -> None:
    """In the same write."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store)
    await answered(store, job_id)
    (message,) = redis.lrange(CELERY("collect"), 0, -1)
    assert job_id.encode() in message


async def test_a_job_is_kept_from_its_first_end_on(store: JobStore, redis: Redis) -> None:
    """A late result tells the caller again, but does not make the record older or younger."""
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    job_id = await accepted(store, webhook="https://caller.example/x")
    await answered(store, job_id, PROCESSING)
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.woken(found.job, found.now + 4_000_000, DURATIONS))
    redis.zincrby("finished", -5000, job_id)
    first = redis.zscore("finished", job_id)
    (delivery,) = redis.zrange("deliveries:due", 0, -1)
    assert 0 < int(redis.zscore("deliveries:due", delivery) or 0) - store.now() <= 60_000
    redis.zadd("deliveries:due", {delivery: 1})
    await store.queue.tick()
    assert 0 < int(redis.zscore("deliveries:due", delivery) or 0) - store.now() <= 60_000
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.called_back(found.job, 1, SUCCESS.answer, found.now, DURATIONS))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.collected(found.job, (IMAGE,), 0, found.now, DURATIONS))
    assert redis.zscore("finished", job_id) == first
    assert redis.zcard("deliveries:due") == 2
