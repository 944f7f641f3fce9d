"""An id that two requests of one server have is nobody's: neither is asked about by it."""

from redis import Redis

from tests.support.queue import DURATIONS, accepted, advanced, loaded
from worker.job import decisions
from worker.job.answer import Answer, Taken
from worker.job.record import Job
from worker.store.jobs import JobStore
from worker.store.queue import UpstreamLimit

PROCESSING = Taken(Answer("processing", request_id="7", eta_seconds=5))


MINUTE = 60_000


async def taken_at(store: JobStore, server: str, deadline_ms: int = 3_600_000) -> Job:
    """A job that this server has as request 7."""
    job_id = await accepted(store, deadline_ms=deadline_ms)
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.claim(found.job, "key-1", found.now, DURATIONS, server=server))
    found = await loaded(store, job_id)
    await advanced(store, found, decisions.answered(found.job, 1, PROCESSING, found.now, DURATIONS))
    return (await loaded(store, job_id)).job


async def test_an_id_that_two_requests_have_is_nobodys_for_as_long_as_either_may_ask(
    store: JobStore, redis: Redis
) -> None:
    """Also where the second of them has the earlier deadline."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    for deadline_ms in (7 * 24 * 60 * MINUTE, MINUTE):
        await taken_at(store, "one", deadline_ms)
    assert redis.get("request:one:7") == b"shared"
    assert redis.pttl("request:one:7") > 7 * 24 * 60 * MINUTE


async def test_an_id_is_nobodys_also_where_the_job_that_had_it_first_was_deleted(store: JobStore, redis: Redis) -> None:
    """The upstream may still answer with the image of that one, another tenant's."""
    await store.queue.configure([UpstreamLimit("key-1", 2)])
    first = await taken_at(store, "one")
    found = await loaded(store, first.id)
    await advanced(store, found, decisions.cancelled(found.job, found.now))
    await store.forget(first)
    kept = redis.get("request:one:7")
    assert kept is not None
    assert first.id.encode() not in kept
    assert redis.pttl("request:one:7") > 0
    second = await taken_at(store, "one")
    assert second.attempt is not None
    assert not await store.owns_request(second.attempt, "7")
