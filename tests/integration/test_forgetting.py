"""Jobs are forgotten whole: whatever is under way meanwhile, wherever a crash comes, however many, past what fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.engine import Engine, running_engine
from tests.support.queue import ROOM, order
from worker import lifecycle
from worker.heartbeat import forget_old
from worker.images import removal as forgetting
from worker.images.folder import LocalImages
from worker.images.removal import Forgetting
from worker.job import decisions
from worker.job.filter import Filter
from worker.job.folder import folder_of
from worker.job.record import TERMINAL
from worker.operate.bulk import purge_matching

MANY = 250
EVERYTHING = Filter(TERMINAL)


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine whose retention is over at once."""
    async with running_engine(settings, redis, retention_seconds=0) as made:
        yield made


class Killed(BaseException):
    """As a kill -9: nothing catches it."""


class Images(LocalImages):
    """A store that counts what is removed, and in which a process can be killed."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.folder)
        self.removed: Counter[str] = Counter()
        self.kills = False

    async def delete(self, prefix: str) -> int:
        self.removed[prefix] += 1
        if self.kills:
            raise Killed
        return await super().delete(prefix)


class Hanging(LocalImages):
    """A store in which a removal never ends."""

    async def delete(self, prefix: str) -> int:
        await asyncio.Event().wait()
        return 0


async def cancelled(engine: Engine, jobs: int) -> list[str]:
    """Many jobs that have ended."""
    made = [order(engine.r.store) for _ in range(jobs)]
    assert (await engine.r.store.accept(made, ROOM)).verdict == "created"

    async def cancel(job_id: str) -> None:
        found = await engine.r.store.load(job_id)
        assert found
        step = decisions.cancelled(found.job, found.now)
        assert step
        assert await engine.r.store.advance(found, step)

    await asyncio.gather(*(cancel(each.id) for each in made))
    return [each.id for each in made]


def forgetter(engine: Engine, images: LocalImages | None = None) -> Forgetting:
    return Forgetting(engine.r.lane, engine.r.store, images or engine.r.images.store)


def left(engine: Engine) -> list[str]:
    """Keys that name a job, and what still waits to be removed."""
    keys = [key.decode() for key in engine.redis.keys("job:*")]  # type: ignore[union-attr]
    waiting = [each.decode() for each in engine.redis.zrange("tombstones", 0, -1)]  # type: ignore[union-attr]
    return keys + waiting


def let_time_pass(engine: Engine, index: str) -> None:
    """Everything in that index is due."""
    for name, _ in engine.redis.zscan_iter(index):
        engine.redis.zadd(index, {name: 1})


async def test_a_job_that_is_deleted_while_its_image_comes_leaves_nothing(engine: Engine) -> None:
    """The collector finds no record when it has stored the image, and removes it again."""
    job_id = await engine.accepted()
    engine.upstream.image_seconds = 0.4
    await lifecycle.submit(engine.r, job_id)
    collecting = asyncio.create_task(lifecycle.collect(engine.r, job_id))
    await asyncio.sleep(0.1)
    found = await engine.r.store.load(job_id)
    assert found
    step = decisions.cancelled(found.job, found.now)
    assert step
    await engine.r.store.advance(found, step)
    await forgetter(engine).forget(step.job)
    await collecting
    assert engine.files() == []
    assert engine.redis.keys(f"*{job_id}*") == []
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert left(engine) == []


async def test_what_a_killed_collector_stored_for_a_forgotten_job_is_swept(engine: Engine) -> None:
    """It was killed after storing the image and before it looked whether the job is still there."""
    job = await engine.finished()
    await forgetter(engine).forget(job)
    await engine.r.images.store.save(job.images[0].key, b"stored by a worker that was killed then")
    await forget_old(engine.r)
    assert engine.files() != [], "removed before the longest collection is over"
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert (engine.files(), left(engine)) == ([], [])


async def test_a_kill_between_the_record_and_its_folder_leaves_nothing_after_the_sweep(engine: Engine) -> None:
    """The record is gone, the folder is there: the tombstone names it."""
    job, images = await engine.finished(), Images(engine)
    images.kills = True
    with pytest.raises(Killed):
        await forgetter(engine, images).forget(job)
    assert engine.files() != []
    assert left(engine) == [folder_of(job)]
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert (engine.files(), left(engine)) == ([], [])


async def test_a_tombstone_of_a_job_that_ended_long_ago_goes_with_its_folder(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can be storing images of it any more. That of one that ended just now stays."""
    first, second = await engine.finished(), await engine.finished()
    await forgetter(engine).forget(first)
    assert left(engine) == [f"job:{second.id}", folder_of(first)]
    monkeypatch.setattr(forgetting, "TOMBSTONE_MS", -1000)
    assert await forgetter(engine).forget(second) == 2
    assert left(engine) == [folder_of(first)]


async def test_many_are_forgotten_in_one_go_and_none_by_two(engine: Engine) -> None:
    """Pages and pages of them, by several processes at once."""
    await cancelled(engine, MANY)
    images = Images(engine)
    await asyncio.gather(*(forgetter(engine, images).expired(0) for _ in range(3)))
    assert not engine.redis.keys("job:*")
    assert engine.redis.zcard("finished") == 0
    assert (len(images.removed), set(images.removed.values())) == (MANY, {1})


async def test_a_page_of_a_process_that_was_killed_comes_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, and not before."""
    await cancelled(engine, 5)
    monkeypatch.setattr(forgetting, "PAGE_MS", 600)
    dying = asyncio.create_task(forgetter(engine, Hanging(engine.folder)).expired(0))
    await asyncio.sleep(0.2)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    engine.redis.delete("tombstones")
    await forgetter(engine).expired(0)
    assert len(engine.redis.keys("job:*")) == 5 - forgetting.AT_ONCE  # type: ignore[arg-type]
    await asyncio.sleep(0.7)
    await forgetter(engine).expired(0)
    assert engine.redis.keys("job:*") == []


async def test_a_folder_that_cannot_be_removed_stops_none_of_the_others(engine: Engine) -> None:
    """It is counted, tried again with growing pauses, and removed once it can be."""
    jobs = [await engine.finished() for _ in range(4)]
    stuck = engine.folder / folder_of(jobs[0])
    put_in_the_way(stuck)
    await forget_old(engine.r)
    assert engine.redis.keys("job:*") == []
    assert engine.files() == [folder_of(jobs[0])]
    for failures in range(2, 4):
        let_time_pass(engine, "tombstones")
        await forget_old(engine.r)
        assert int(engine.redis.hget("removals:failing", f"tombstones {folder_of(jobs[0])}") or 0) == failures
        wait = float(engine.redis.zscore("tombstones", folder_of(jobs[0])) or 0) - engine.r.store.now()
        assert 110_000 < wait <= max(forgetting.PAGE_MS, forgetting.FIRST_PAUSE_MS * 2 ** (failures - 1))
    assert (await engine.r.store.condition.census()).removals_failing == 1
    stuck.unlink()
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert left(engine) == []
    assert (await engine.r.store.condition.census()).removals_failing == 0


def put_in_the_way(folder: Any) -> None:
    """A file where a folder is expected."""
    for each in folder.iterdir():
        each.unlink()
    folder.rmdir()
    folder.write_text("in the way")


async def test_a_job_that_cannot_be_forgotten_stops_none_of_the_others(engine: Engine) -> None:
    """Its record cannot be read: it is tried again later."""
    ids = await cancelled(engine, 4)
    engine.redis.hset(f"job:{ids[0]}", "doc", "no JSON")
    await forget_old(engine.r)
    assert [key.decode() for key in engine.redis.keys("job:*")] == [f"job:{ids[0]}"]  # type: ignore[union-attr]
    assert (await engine.r.store.condition.census()).removals_failing == 1
    await forget_old(engine.r)
    assert int(engine.redis.hget("removals:failing", f"finished {ids[0]}") or 0) == 1, "tried again at once"


async def test_while_the_image_store_is_away_records_go_and_folders_wait(engine: Engine) -> None:
    """Redis does not grow for it."""
    job = await engine.finished()
    engine.r.health.images_away = "gone"
    await forget_old(engine.r)
    assert left(engine) == [folder_of(job)]
    assert engine.files() != []
    engine.r.health.images_away = ""
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert (engine.files(), left(engine)) == ([], [])


async def test_a_purge_counts_what_it_removed_and_goes_on_past_what_fails(engine: Engine) -> None:
    """Broken off in the middle, it goes on when it is done again."""
    jobs = [await engine.finished() for _ in range(3)]
    put_in_the_way(engine.folder / folder_of(jobs[1]))
    images = Images(engine)
    images.kills = True
    with pytest.raises(Killed):
        await purge_matching(engine.r.store, forgetter(engine, images), ["acme"], EVERYTHING)
    purged = await purge_matching(engine.r.store, forgetter(engine), ["acme"], EVERYTHING)
    assert (purged.jobs, purged.files, purged.folders_left) == (2, 2, 1)
    assert engine.redis.keys("job:*") == []
    (engine.folder / folder_of(jobs[1])).unlink()
    let_time_pass(engine, "tombstones")
    await forget_old(engine.r)
    assert (engine.files(), left(engine)) == ([], [])
