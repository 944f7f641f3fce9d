"""A callback token that has leaked: what its finder can make the store keep, read or do. All against a real server."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from tests.support.queue import DURATIONS, IMAGE, accepted, advanced, claimed, done, loaded
from worker.job import decisions
from worker.job.answer import Answer
from worker.job.ids import new_job_id
from worker.job.record import Status
from worker.store.inbox import BOUNDS, DAY_MS, Inbox
from worker.store.jobs import JobStore

LARGE = 58 * 1024
RESULT = Answer("success", request_id="7", links=("https://cdn/a.png",))
END = b'{"status":"success","id":"7","output":["https://cdn/a.png"]}'


@pytest.fixture
def hasty(store: JobStore) -> JobStore:
    """The store, where the grace after the end of a job is over at once."""
    store.inbox = Inbox(store._lane, store.push, BOUNDS._replace(grace_ms=0))
    return store


def large(number: int) -> bytes:
    return b'{"n": %d, "x": "%s"}' % (number, b"x" * LARGE)


def reads(redis: Redis) -> int:
    """How often a list was read, since the server's start."""
    stats: Any = redis.info("commandstats")
    return int(stats.get("cmdstat_lrange", {"calls": 0})["calls"])


async def ended(store: JobStore, redis: Redis) -> str:
    """A job that has succeeded a moment ago."""
    job_id = await accepted(store)
    await done(store, redis, job_id)
    await asyncio.sleep(0.01)
    return job_id


async def test_large_bodies_by_the_hundred_fill_a_bounded_inbox_and_none_is_read(store: JobStore, redis: Redis) -> None:
    """New ones, and the same again: each is answered by its digest and the job's marks."""
    job_id = await accepted(store)
    before = reads(redis)
    verdicts = [await store.inbox.keep(job_id, 1, large(number)) for number in range(100)]
    kept = verdicts.count("kept")
    assert kept == BOUNDS.most_bytes // len(large(10))
    assert verdicts == ["kept"] * kept + ["full"] * (100 - kept)
    assert {await store.inbox.keep(job_id, 1, large(number)) for number in range(kept)} == {"duplicate"}
    assert reads(redis) == before
    assert redis.memory_usage(f"inbox:{job_id}", samples=0) < 2 * BOUNDS.most_bytes


async def test_another_attempt_is_heard_where_the_first_ones_token_filled_the_inbox(store: JobStore) -> None:
    """Its callback may be the only one that tells of something paid."""
    job_id = await accepted(store)
    for number in range(BOUNDS.most_rows + 5):
        await store.inbox.keep(job_id, 1, b"%d" % number)
    assert await store.inbox.keep(job_id, 2, b"1") == "kept"
    assert await store.inbox.keep(job_id, 2, b"2") == "full"


async def test_after_the_end_few_more_are_kept_and_after_the_grace_none(hasty: JobStore, redis: Redis) -> None:
    """A job that nothing can change any more: nothing grows, however much comes."""
    job_id = await ended(hasty, redis)
    early = Inbox(hasty._lane, hasty.push)
    verdicts = [await early.keep(job_id, 1, b"%d" % number) for number in range(10)]
    assert verdicts == ["kept"] * BOUNDS.most_after_end + ["dropped"] * (10 - BOUNDS.most_after_end)
    before = redis.dump(f"job:{job_id}"), redis.llen(f"inbox:{job_id}")
    assert {await hasty.inbox.keep(job_id, 1, large(number)) for number in range(10)} == {"ended"}
    assert (redis.dump(f"job:{job_id}"), redis.llen(f"inbox:{job_id}")) == before


async def test_a_result_after_any_grace_is_kept_where_it_can_change_something(hasty: JobStore) -> None:
    """Expired without an answer; cancelled while the upstream had it."""
    expired, cancelled = await accepted(hasty, deadline_ms=600), await accepted(hasty)
    for job_id in (expired, cancelled):
        await claimed(hasty, job_id)
    await asyncio.sleep(0.62)
    found = await loaded(hasty, expired)
    assert (await advanced(hasty, found, decisions.woken(found.job, found.now, DURATIONS))).status is Status.EXPIRED
    found = await loaded(hasty, cancelled)
    await advanced(hasty, found, decisions.cancelled(found.job, found.now))
    await asyncio.sleep(0.01)
    assert [await hasty.inbox.keep(each, 1, END) for each in (expired, cancelled)] == ["kept", "kept"]
    for job_id in (expired, cancelled):
        found = await loaded(hasty, job_id)
        answer = decisions.called_back(found.job, 1, RESULT, found.now, DURATIONS)
        (attempt,) = (await advanced(hasty, found, answer)).attempts
        assert attempt.status == "succeeded"
    assert await hasty.inbox.keep(cancelled, 1, END + b" ") == "ended", "its result is recorded"
    assert await hasty.inbox.keep(expired, 1, END + b" ") == "kept", "its images are not stored yet"


async def test_after_removal_nothing_grows(store: JobStore, redis: Redis) -> None:
    """Neither its keys nor orphans."""
    job_id = await ended(store, redis)
    await store.forget((await loaded(store, job_id)).job)
    before = sorted(redis.keys())  # type: ignore[type-var]
    assert {await store.inbox.keep(job_id, 1, large(number)) for number in range(20)} == {"gone"}
    assert sorted(redis.keys()) == before  # type: ignore[type-var]
    assert 0 < redis.pttl("removed") <= 3 * DAY_MS  # type: ignore[operator]


async def test_orphans_are_bounded_in_number_in_bytes_and_in_time(store: JobStore, redis: Redis) -> None:
    """One unknown job's token makes four; all together are 256; one of an old id is none."""
    job_id = new_job_id(store.now())
    verdicts = [await store.inbox.keep(job_id, 1, b"%d" % number) for number in range(6)]
    assert verdicts == ["orphan"] * 4 + ["dropped"] * 2
    assert await store.inbox.keep(job_id, 1, b"0") == "duplicate"
    assert await store.inbox.keep(new_job_id(store.now()), 1, large(1)) == "dropped"
    assert await store.inbox.keep(new_job_id(store.now() - 3 * DAY_MS), 1, b"{}") == "gone"
    await asyncio.gather(*(store.inbox.keep(new_job_id(store.now()), 1, b"{}") for _ in range(300)))
    assert redis.llen("orphans") == 256
    assert 0 < redis.pttl("orphans") <= 7 * DAY_MS  # type: ignore[operator]


async def test_an_old_orphan_goes_when_the_next_one_comes(store: JobStore, redis: Redis) -> None:
    """So none of them stays for ever where they keep coming."""
    inbox = Inbox(store._lane, store.push, BOUNDS._replace(orphan_ms=200))
    first = new_job_id(store.now())
    await inbox.keep(first, 1, b"{}")
    await asyncio.sleep(0.12)
    second = new_job_id(store.now())
    await inbox.keep(second, 1, b"{}")
    await asyncio.sleep(0.12)
    await inbox.keep(new_job_id(store.now()), 1, b"{}")
    rows = b"".join(redis.lrange("orphans", 0, -1))  # type: ignore[arg-type]
    assert (first.encode() in rows, second.encode() in rows) == (False, True)


async def test_a_thousand_replays_change_nothing_before_and_after_the_end_and_after_removal(
    store: JobStore, redis: Redis
) -> None:
    """The first is decided on; no other one writes a byte."""
    job_id = await accepted(store)
    await claimed(store, job_id)
    assert await store.inbox.keep(job_id, 1, END) == "kept"
    found = await loaded(store, job_id)
    storing = decisions.called_back(found.job, 1, RESULT, found.now, DURATIONS)
    assert storing
    assert await store.advance(found, storing, inbox_read=1)
    assert await replayed(store, redis, job_id) == {"duplicate"}
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.collected(found.job, (IMAGE,), 0, found.now, DURATIONS))
    assert await replayed(store, redis, job_id) == {"duplicate"}
    await store.forget((await loaded(store, job_id)).job)
    assert await replayed(store, redis, job_id) == {"gone"}


async def replayed(store: JobStore, redis: Redis, job_id: str) -> set[str]:
    """The answers to a thousand replays, which change nothing in Redis."""
    before = written(redis)
    verdicts = set(await asyncio.gather(*(store.inbox.keep(job_id, 1, END) for _ in range(1000))))
    assert written(redis) == before
    return set(verdicts)


def written(redis: Redis) -> int:
    """How many changes the server has made since its last dump, or ever."""
    facts: Any = redis.info("persistence")
    return int(facts["rdb_changes_since_last_save"])
