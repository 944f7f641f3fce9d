"""A job that is gone stays gone: whatever a slow worker or an operator still does with it leaves no key behind."""

from tests.support.engine import Engine
from tests.support.queue import DURATIONS
from worker import lifecycle
from worker.job import decisions
from worker.job.answer import Answer
from worker.job.ids import new_job_id
from worker.operate.audit import Audit
from worker.store.loaded import Loaded

FAILED = b'{"status":"failed","id":"1","message":"out of paint"}'
NOTHING = b'{"status":"processing","id":"1"}'


async def loaded(engine: Engine, job_id: str) -> Loaded:
    found = await engine.r.store.load(job_id)
    assert found
    return found


def keys(engine: Engine, job_id: str) -> list[str]:
    """Every key and every index that names the job."""
    found = [key.decode() for key in engine.redis.keys(f"*{job_id}*")]  # type: ignore[union-attr]
    return found + [index for index in ("due", "finished") if engine.redis.zscore(index, job_id) is not None]


async def test_a_worker_that_is_slower_than_a_deletion_writes_nothing(engine: Engine) -> None:
    """It has read the job with a callback that changes nothing; then the job is deleted; then it notes what it read."""
    job_id = (await engine.finished()).id
    await engine.r.store.inbox.keep(job_id, 1, NOTHING)
    before = await loaded(engine, job_id)
    await engine.r.store.forget(before.job)
    await engine.r.store.inbox.mark_read(before)
    await engine.r.store.rest(before.job)
    assert keys(engine, job_id) == []


async def test_a_job_that_is_gone_cannot_be_woken(engine: Engine) -> None:
    """By `darkroom callbacks`, an audit's repair, or a message."""
    job_id = (await engine.finished()).id
    await engine.r.store.forget((await loaded(engine, job_id)).job)
    await engine.r.store.inbox.read_again(job_id)
    await engine.r.store.again_at(job_id, 0)
    await engine.r.store.hand_over(job_id)
    await engine.work()
    assert keys(engine, job_id) == []


async def test_callbacks_are_noted_as_read_one_by_one(engine: Engine) -> None:
    """One that changes nothing hides none of those behind it, and each is decided on once."""
    job_id = (await engine.finished()).id
    for body in (NOTHING, FAILED):
        await engine.r.store.inbox.keep(job_id, 1, body)
    await lifecycle.settle(engine.r, job_id)
    after = await loaded(engine, job_id)
    assert (after.inbox, after.inbox_read, after.job.contradictions) == ((), 2, 1)


async def test_a_decision_on_an_older_record_marks_nothing_as_read(engine: Engine) -> None:
    """The job moved meanwhile: its callback is decided on again. So it is where all are to be decided on again."""
    job_id = (await engine.finished()).id
    await engine.r.store.inbox.keep(job_id, 1, NOTHING)
    old = await loaded(engine, job_id)
    step = decisions.called_back(old.job, 1, Answer("failed", request_id="1"), old.now, DURATIONS)
    assert step
    assert await engine.r.store.advance(old, step)
    await engine.r.store.inbox.mark_read(old)
    moved = await loaded(engine, job_id)
    assert (moved.inbox_read, len(moved.inbox)) == (0, 1)
    await engine.r.store.inbox.mark_read(moved)
    await engine.r.store.inbox.read_again(job_id)
    await engine.r.store.inbox.mark_read(await loaded(engine, job_id))
    await engine.r.store.inbox.mark_read(moved)
    assert (await loaded(engine, job_id)).inbox_read == 1


async def test_an_ended_job_that_moved_meanwhile_is_still_looked_at(engine: Engine) -> None:
    """Who has seen an older version must not end the looking that a newer one has booked."""
    job_id = (await engine.finished()).id
    old = await loaded(engine, job_id)
    step = decisions.called_back(old.job, 1, Answer("failed", request_id="1"), old.now, DURATIONS)
    assert step
    assert await engine.r.store.advance(old, step)
    await engine.r.store.again_at(job_id, 5_000)
    await engine.r.store.rest(old.job)
    assert engine.redis.zscore("due", job_id) is not None
    await engine.r.store.rest((await loaded(engine, job_id)).job)
    assert engine.redis.zscore("due", job_id) is None


async def test_an_audit_survives_a_ghost_and_offers_to_lay_it(engine: Engine) -> None:
    """Older versions could write such a key; a callback for it is an orphan, and wakes nobody."""
    await engine.finished()
    ghost = new_job_id(engine.r.store.now())
    engine.redis.hset(f"job:{ghost}", "inbox_read", 1)
    engine.redis.zadd("due", {ghost: 0})
    assert await engine.r.store.inbox.keep(ghost, 1, NOTHING) == "orphan"
    engine.redis.delete(f"orphans:{ghost}")
    audit = Audit(engine.r.lane, engine.r.store, engine.r.images.store)
    found = [each for each in await audit.findings() if each.subject == ghost]
    assert [each.rule for each in found] == ["keys of a job without a record"]
    assert found[0].repair
    await found[0].repair()
    assert keys(engine, ghost) == []
