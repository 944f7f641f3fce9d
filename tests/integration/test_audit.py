"""`darkroom audit` finds what is planted, rule by rule, mends what may be mended, and is silent on a whole store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest
from redis import Redis

from tests.support.queue import accepted, answered
from worker.images.folder import LocalImages
from worker.job import decisions
from worker.job.answer import Answer, Open, Taken
from worker.job.ids import new_job_id
from worker.operate.audit import Audit
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.lane import Lane, connect
from worker.store.queue import UpstreamLimit

IN_WORK = Taken(Answer("processing", request_id="7", eta_seconds=5))
SUBMIT = CELERY("submit")
GONE = new_job_id(1_795_000_000_000)


class Jobs:
    """One job in each state that the rules tell apart, made by the product alone."""

    waiting: str
    placed: str
    processing: str
    unknown: str
    failed: str
    cancelled: str


@pytest.fixture
async def audit(store: JobStore, redis_url: str, tmp_path: Path) -> AsyncIterator[Audit]:
    lane = Lane(connect(redis_url, 5), 5)
    yield Audit(lane, store, LocalImages(tmp_path), second_look_seconds=0.01)
    await lane.aclose()


@pytest.fixture
async def jobs(store: JobStore) -> Jobs:
    made = Jobs()
    await store.queue.configure([UpstreamLimit("key-1", 9)])
    made.processing = await made_job(store, IN_WORK)
    made.unknown = await made_job(store, Open("read_timeout"))
    made.failed = await made_job(store, Taken(Answer("failed", request_id="8", message="no")))
    made.cancelled = await made_job(store, Taken(Answer("processing", request_id="9", eta_seconds=5)))
    found = await store.load(made.cancelled)
    assert found is not None
    step = decisions.cancelled(found.job, found.now)
    assert step is not None
    assert await store.advance(found, step)
    made.placed = await accepted(store)
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    made.waiting = await accepted(store)
    return made


async def made_job(store: JobStore, outcome: object) -> str:
    job_id = await accepted(store)
    await answered(store, job_id, outcome)  # type: ignore[arg-type]
    return job_id


async def rules(audit: Audit) -> list[str]:
    return [each.rule for each in await audit.findings()]


async def test_a_whole_store_has_no_finding(audit: Audit, jobs: Jobs) -> None:
    """One job in each state, a place kept after a cancel, one that waits."""
    assert await rules(audit) == []


Plant = Callable[[Redis, Jobs], object]
PLANTED: dict[str, tuple[str, Plant]] = {
    "due time lost": ("open, but nobody will look at it", lambda r, j: r.zrem("due", j.processing)),
    "due far away": (
        "nobody will look at it before its deadline is over",
        lambda r, j: r.zadd("due", {j.unknown: 9e15}),
    ),
    "left the queue": ("queued, but not in the queue", lambda r, j: left_the_queue(r, j.waiting)),
    "in the queue twice": ("in the queue, but not waiting", lambda r, j: into_the_queue(r, j.placed)),
    "place after the end": (
        "a finished job holds a place",
        lambda r, j: r.zadd("places:key-1", {j.failed: 9e15}),
    ),
    "place of nobody": (
        "a place is held that the record does not know of",
        lambda r, j: r.zadd("places:key-1", {j.waiting: 9e15}),
    ),
    "place lost": (
        "the record says a place that nobody holds",
        lambda r, j: r.zrem("places:key-1", j.processing),
    ),
    "counter": ("a counter is wrong", lambda r, j: r.hincrby("counts", "failed", 3)),
    "backlog's size": ("a backlog's size is wrong", lambda r, j: r.hset("backlogs", "acme", 7)),
    "bytes": ("a tenant's bytes are wrong", lambda r, j: r.hincrby("bytes", "acme", -70)),
    "waiting": ("the number of waiting jobs is wrong", lambda r, j: r.set("waiting", 7)),
    "budget": ("less is booked than was bought", lambda r, j: r.hincrby(r.keys("usage:acme:*")[0], "open", -2)),
    "message of nobody": (
        "a message without a job",
        lambda r, j: r.lpush(CELERY("submit"), r.lindex(CELERY("submit"), 0).replace(j.placed.encode(), GONE.encode())),
    ),
    "ghost": ("keys of a job without a record", lambda r, j: r.hset(f"job:{GONE}", "inbox_read", 1)),
    "due of nobody": ("a name of a job that has no record", lambda r, j: r.zadd("due", {GONE: 9e15})),
    "finished of nobody": ("a name of a job that has no record", lambda r, j: r.zadd("finished", {GONE: 1})),
    "list of nobody": ("a name of a job that has no record", lambda r, j: r.zadd("jobs:acme", {GONE: 1})),
    "inbox of nobody": ("a name of a job that has no record", lambda r, j: r.rpush(f"inbox:{GONE}", "1 1 {}")),
    "deliveries of nobody": ("a name of a job that has no record", lambda r, j: r.rpush(f"deliveries:{GONE}", "m")),
}


def left_the_queue(redis: Redis, job_id: str) -> None:
    redis.zrem("backlog:acme", job_id)
    redis.hdel("backlogs", "acme")
    redis.zrem("fair", "acme")
    redis.decr("waiting")


def into_the_queue(redis: Redis, job_id: str) -> None:
    redis.zadd("backlog:acme", {job_id: 1})
    redis.hincrby("backlogs", "acme", 1)
    redis.incr("waiting")


@pytest.mark.parametrize(("rule", "plant"), PLANTED.values(), ids=PLANTED)
async def test_what_is_planted_is_found_and_mended(
    rule: str, plant: Plant, audit: Audit, jobs: Jobs, redis: Redis
) -> None:
    """And mending it leaves nothing else behind: not a second finding, not a job that was bought or ended."""
    before = redis.hget("counts", "queued"), redis.llen(CELERY("submit"))
    plant(redis, jobs)
    findings = await audit.findings()
    assert [each.rule for each in findings] == [rule]
    for each in findings:
        assert each.repair is not None
        await each.repair()
    assert await rules(audit) == []
    assert (redis.hget("counts", "queued"), redis.llen(CELERY("submit"))) == before


def two_intents(timeline: bytes) -> bytes:
    return timeline + b'\n[1,"submitting","intent",1]'


def rewrite(redis: Redis, job_id: str, was: str, becomes: str) -> None:
    doc = redis.hget(f"job:{job_id}", "doc").decode()
    assert was in doc
    redis.hset(f"job:{job_id}", "doc", doc.replace(was, becomes))


BROKEN_FOR_GOOD: dict[str, tuple[str, Plant]] = {
    "posted twice": (
        "an attempt was posted twice",
        lambda r, j: r.hset(f"job:{j.processing}", "timeline", two_intents(r.hget(f"job:{j.processing}", "timeline"))),
    ),
    "another's track_id": (
        "an attempt was posted twice",
        lambda r, j: rewrite(r, j.processing, f"{j.processing}-1", f"{j.unknown}-1"),
    ),
    "one request id": (
        "two jobs have one request id",
        lambda r, j: rewrite(r, j.cancelled, '"request_id":"9"', '"request_id":"7"'),
    ),
    "booked": (
        "what is booked for a job is not what it costs",
        lambda r, j: r.hset(f"job:{j.processing}", "open", 9),
    ),
    "garbage": (
        "a record that cannot be read",
        lambda r, j: r.hset(f"job:{j.failed}", "doc", "garbage"),
    ),
    "poison": (
        "a message that is none of ours",
        lambda r, j: r.lpush(CELERY("settle"), "[1,2,3]"),
    ),
}


@pytest.mark.parametrize(("rule", "plant"), BROKEN_FOR_GOOD.values(), ids=BROKEN_FOR_GOOD)
async def test_what_no_program_may_mend_is_found(
    rule: str, plant: Plant, audit: Audit, jobs: Jobs, redis: Redis
) -> None:
    """It is for a person to look at."""
    plant(redis, jobs)
    findings = await audit.findings()
    assert [each.rule for each in findings] == [rule]
    assert findings[0].repair is None


async def test_a_job_past_its_deadline_is_looked_at_at_once(audit: Audit, jobs: Jobs, redis: Redis) -> None:
    """The audit ends nothing by itself: it has the job looked at, and whoever looks at it ends it."""
    order = orjson.loads(redis.hget(f"job:{jobs.unknown}", "order"))
    redis.hset(f"job:{jobs.unknown}", "order", orjson.dumps(order | {"deadline_at": order["created_at"] - 60_000}))
    findings = await audit.findings()
    assert [each.rule for each in findings] == ["past its deadline without an end"]
    assert findings[0].repair is not None
    await findings[0].repair()
    assert redis.zscore("due", jobs.unknown) <= audit.store.now()


async def test_what_is_gone_at_the_second_look_is_no_finding(audit: Audit, jobs: Jobs, redis: Redis) -> None:
    """A live system moves while it is looked at."""
    redis.zrem("due", jobs.processing)
    slow = Audit(audit.lane, audit.store, audit.images, second_look_seconds=0.5)
    looking = asyncio.create_task(slow.findings())
    await asyncio.sleep(0.25)
    await audit.store.again_at(jobs.processing, 1000)
    assert await looking == []


async def test_counters_are_mended_while_jobs_move(audit: Audit, jobs: Jobs, store: JobStore, redis: Redis) -> None:
    """Setup: wrong counters. Timeline: two looks, a job comes, the repairs. Proves: it is counted; what has moved since
    is left to the next audit."""
    redis.hincrby("counts", "failed", 3)
    redis.hincrby("counts", "queued", 5)
    redis.hset("backlogs", "acme", 7)
    redis.set("waiting", 7)
    findings = await audit.findings()
    await accepted(store)
    for each in findings:
        assert each.repair is not None
        await each.repair()
    assert [each.rule for each in await audit.findings()] == ["a counter is wrong"], "that of the queued has moved"
    for each in await audit.findings():
        assert each.repair is not None
        await each.repair()
    assert await audit.findings() == []


async def test_what_is_booked_anew_goes_with_its_day(audit: Audit, jobs: Jobs, redis: Redis) -> None:
    """The whole day was lost: what the audit books for it is forgotten when the month is over, as any other."""
    [day] = redis.keys("usage:acme:*")
    was = redis.hgetall(day)
    redis.delete(day)
    for each in await audit.findings():
        assert each.repair is not None
        await each.repair()
    assert redis.hgetall(day) == was
    assert 0 < redis.ttl(day) <= 40 * 86_400
