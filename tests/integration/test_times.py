"""Every time that the scripts write: due times, leases, and how long what is kept is kept."""

from redis import Redis

from tests.support.queue import DURATIONS, ROOM, accepted, answered, loaded, order
from worker.images.claims import Collecting, keep_collecting
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.job.cost import day_of
from worker.job.record import Job
from worker.store.inbox import BOUNDS
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.queue import UpstreamLimit

HOUR_MS, DAY_SECONDS = 3_600_000, 86_400
LEASE_MS = 60_000
PROCESSING = Taken(Answer("processing", request_id="7"))


async def running(store: JobStore, *, deadline_ms: int = HOUR_MS) -> Job:
    """A job that the upstream has."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store, deadline_ms=deadline_ms)
    await answered(store, job_id, PROCESSING)
    return (await loaded(store, job_id)).job


async def cancelled(store: JobStore, job_id: str) -> Job:
    found = await loaded(store, job_id)
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    assert await store.advance(found, step)
    return step.job


def due(redis: Redis, job_id: str) -> float:
    at = redis.zscore("due", job_id)
    assert isinstance(at, float)
    return at


async def test_a_waiting_job_is_looked_at_by_its_deadline(store: JobStore, redis: Redis) -> None:
    """Nothing may wake it before; nothing may be later."""
    made = order(store)
    await store.accept([made], ROOM)
    assert due(redis, made.id) == made.deadline_at


async def test_an_idempotency_key_is_kept_for_a_day_and_more(store: JobStore, redis: Redis) -> None:
    """The contract says at least 24 hours."""
    await store.accept([order(store)], ROOM, ("idempotency:acme:k", "body"))
    assert 24 * HOUR_MS < redis.pttl("idempotency:acme:k") <= 25 * HOUR_MS  # type: ignore[operator]


async def test_what_a_day_used_is_kept_as_long_as_a_month_counts_it(store: JobStore, redis: Redis) -> None:
    """31 days and some; then it goes by itself."""
    await accepted(store)
    seconds = redis.ttl(f"usage:acme:{day_of(store.now())}")
    assert 31 * DAY_SECONDS < seconds <= 40 * DAY_SECONDS  # type: ignore[operator]


async def test_callbacks_are_bounded_also_where_each_is_read_at_once(store: JobStore) -> None:
    """An upstream that repeats itself in other words each time fills no memory."""
    job_id, verdicts = await accepted(store), []
    for number in range(BOUNDS.most_rows + 1):
        verdicts.append(await store.inbox.keep(job_id, 1, b"%d" % number))
        await store.inbox.mark_read(await loaded(store, job_id))
    assert verdicts == ["kept"] * (BOUNDS.most_rows) + ["full"]


async def test_a_woken_job_comes_back_a_lease_later_but_not_after_its_deadline(store: JobStore, redis: Redis) -> None:
    """Whoever was woken may have died; the deadline is kept all the same."""
    far, near = await running(store), await running(store, deadline_ms=20_000)
    for job in (far, near):
        await store.again_at(job.id, 0)
    jobs, _, _ = await store.queue.tick()
    assert jobs == 2
    assert due(redis, near.id) == near.order.deadline_at
    assert abs(due(redis, far.id) - store.now() - LEASE_MS) < 5_000


async def test_each_time_that_a_job_is_woken_in_vain_is_counted(store: JobStore, redis: Redis) -> None:
    """A job that kills its worker is found by that; a recorded step begins anew."""
    job = await running(store)
    for times in (1, 2, 3):
        redis.delete(CELERY("settle"))
        await store.again_at(job.id, 0)
        await store.queue.tick()
        assert (await loaded(store, job.id)).job.stalls == times
    found = await loaded(store, job.id)
    step = decisions.polled(found.job, 1, None, found.now, DURATIONS)
    assert step is not None
    assert await store.advance(found, step)
    assert (await loaded(store, job.id)).job.stalls == 0


async def test_a_lost_delivery_comes_back_again_and_again(store: JobStore, redis: Redis) -> None:
    """Each time a lease later, until it is told."""
    job = await cancelled(store, await accepted(store, webhook="https://a.example/x"))
    delivery = f"msg_{job.id}_{job.version}"
    for _ in range(2):
        redis.delete(CELERY("tell"))
        redis.zadd("deliveries:due", {delivery: 0})  # the lease goes by
        _, told, _ = await store.queue.tick()
        assert (told, redis.llen(CELERY("tell"))) == (1, 1)
        at = redis.zscore("deliveries:due", delivery)
        assert isinstance(at, float)
        assert abs(at - store.now() - LEASE_MS) < 5_000


async def test_only_the_record_that_was_looked_at_is_left_in_peace(store: JobStore, redis: Redis) -> None:
    """A late result that moved it meanwhile has booked a look of its own."""
    job = await running(store)
    ended = await cancelled(store, job.id)
    await store.again_at(job.id, 1_000)
    await store.rest(job)
    assert redis.zscore("due", job.id) is not None
    await store.rest(ended)
    assert redis.zscore("due", job.id) is None


async def storing(store: JobStore, *, deadline_ms: int = HOUR_MS) -> Job:
    """A job whose images wait to be collected."""
    await store.queue.configure([UpstreamLimit("key-1", 5)])
    job_id = await accepted(store, deadline_ms=deadline_ms)
    await answered(store, job_id)
    return (await loaded(store, job_id)).job


async def said_to_be_at_work(store: JobStore, job: Job, token: bytes, lease_ms: int = LEASE_MS) -> None:
    """What whoever collects a job says again and again."""
    await store._lane.run(keep_collecting, lease_ms=lease_ms, job_id=job.id, token=token.decode())


async def test_a_slow_collector_is_believed_for_a_lease_more(store: JobStore, redis: Redis) -> None:
    """Never sooner than was booked, never after the deadline while that is ahead, and not for a job that has ended."""
    far, near = await storing(store), await storing(store, deadline_ms=20_000)
    collecting, tokens = Collecting(store._lane, store.push, 5), {}
    async with collecting.claimed(far) as mine, collecting.claimed(near) as mine_as_well:
        assert mine and mine_as_well
        for job in (far, near):
            tokens[job.id] = redis.hget(f"job:{job.id}", "collector") or b""
            await store.again_at(job.id, 0)
            redis.zadd("collecting:acme", {job.id: 1})
            await said_to_be_at_work(store, job, tokens[job.id])
            assert abs((redis.zscore("collecting:acme", job.id) or 0) - store.now() - LEASE_MS) < 5_000
        booked = due(redis, far.id)
        assert abs(booked - store.now() - LEASE_MS) < 5_000
        await said_to_be_at_work(store, far, tokens[far.id], 1_000)
        assert due(redis, far.id) == booked
        assert due(redis, near.id) == near.order.deadline_at
        redis.hset(f"job:{near.id}", "deadline", store.now())  # the deadline passes: what is late is collected as well
        await said_to_be_at_work(store, near, tokens[near.id])
        assert due(redis, near.id) > near.order.deadline_at
        await cancelled(store, far.id)
        await said_to_be_at_work(store, far, tokens[far.id])
        assert redis.zscore("due", far.id) is None


async def test_a_collector_whose_job_another_has_taken_is_not_believed(store: JobStore, redis: Redis) -> None:
    """It was thought dead: what it says of the job moves nothing any more."""
    job = await storing(store)
    collecting = Collecting(store._lane, store.push, 5)
    async with collecting.claimed(job):
        token = redis.hget(f"job:{job.id}", "collector") or b""
        redis.delete("collecting:acme")  # its lease is over
        async with collecting.claimed(job) as mine:
            assert mine
            held, booked = redis.zscore("collecting:acme", job.id), due(redis, job.id)
            await said_to_be_at_work(store, job, token, 2 * LEASE_MS)
            assert (redis.zscore("collecting:acme", job.id), due(redis, job.id)) == (held, booked)


async def test_a_look_is_booked_from_now(store: JobStore, redis: Redis) -> None:
    """By Redis' clock, sooner or later than before."""
    job = await running(store)
    for wait in (90_000, 10_000):
        await store.again_at(job.id, wait)
        assert abs(due(redis, job.id) - store.now() - wait) < 5_000
