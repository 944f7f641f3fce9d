"""A Redis and an image store belong together or not, and nobody works on two that do not."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.engine import Engine, running_engine
from worker.images.folder import LocalImages
from worker.installation import FILE, Installation, OtherInstallation, join_in_time
from worker.store import keys


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine that has not joined yet."""
    async with running_engine(settings, redis) as made:
        yield made


def halves(engine: Engine, folder: Path | None = None) -> Installation:
    """Its Redis with its image store, or with another one."""
    images = LocalImages(folder) if folder else engine.r.images.store
    return Installation(engine.r.lane, engine.r.store, images)


async def with_image(engine: Engine) -> None:
    """The installation has a job with an image."""
    await engine.accepted()
    await engine.work()
    assert engine.files()


async def test_many_processes_that_start_at_once_make_one_id(engine: Engine) -> None:
    """In both halves; a second start changes nothing."""
    await asyncio.gather(*(halves(engine).join() for _ in range(12)))
    ours, theirs = await halves(engine).ids()
    assert len(ours) == 32
    assert ours == theirs
    await halves(engine).join()
    await halves(engine).check()
    assert await halves(engine).ids() == (ours, theirs)


async def test_two_that_are_different_are_never_joined(engine: Engine, tmp_path: Path) -> None:
    """Whoever finds it says so, also where somebody asks for it."""
    await halves(engine).join()
    engine.redis.delete(keys.INSTALLATION())
    await halves(engine, tmp_path / "other").join()
    for attempt in (halves(engine).join(), halves(engine).join(adopt=True), halves(engine).check()):
        with pytest.raises(OtherInstallation, match="set both to one installation's"):
            await attempt


async def test_an_old_store_is_adopted_by_a_redis_that_is_new(engine: Engine) -> None:
    """Nothing there names any image yet."""
    await halves(engine).join()
    _, theirs = await halves(engine).ids()
    engine.redis.delete(keys.INSTALLATION())
    await halves(engine).join()
    assert await halves(engine).ids() == (theirs, theirs)


async def test_a_store_without_an_id_joins_if_the_recorded_images_are_there(engine: Engine) -> None:
    """As after an upgrade, or a copy that left the file out."""
    await with_image(engine)
    await halves(engine).join()
    (engine.folder / FILE).unlink()
    await halves(engine).join()
    await halves(engine).check()


async def test_a_store_without_any_of_the_recorded_images_needs_somebodys_word(engine: Engine, tmp_path: Path) -> None:
    """A wrong address looks like that, and so does a lost disk. Either half may have the id, or none."""
    await with_image(engine)
    wrong = halves(engine, tmp_path / "wrong")
    with pytest.raises(OtherInstallation, match="not known to be"):
        await wrong.join()
    await halves(engine).join()
    with pytest.raises(OtherInstallation, match="not known to be"):
        await wrong.join()
    with pytest.raises(OtherInstallation, match="not known to be"):
        await wrong.check()
    assert not (tmp_path / "wrong").exists()
    await wrong.join(adopt=True)
    await wrong.check()


async def test_a_redis_with_other_jobs_does_not_take_a_stores_id(engine: Engine, tmp_path: Path) -> None:
    """It has no id of its own, as an older version's has none."""
    store = halves(engine, tmp_path / "store")
    await store.join()
    engine.redis.delete(keys.INSTALLATION())
    await with_image(engine)
    with pytest.raises(OtherInstallation):
        await store.join()
    assert engine.redis.get(keys.INSTALLATION()) is None


async def test_a_file_that_cannot_be_read_is_no_id(engine: Engine) -> None:
    """And is never overwritten."""
    (engine.folder).mkdir()
    (engine.folder / FILE).write_text("{")
    with pytest.raises(OtherInstallation, match="cannot be read"):
        await halves(engine).join()
    assert (engine.folder / FILE).read_text() == "{"


async def test_a_verb_makes_no_installation(engine: Engine) -> None:
    """It only looks."""
    with pytest.raises(OtherInstallation, match="no installation yet"):
        await halves(engine).check()
    assert await halves(engine).ids() == ("", "")


async def test_a_process_that_runs_is_told_to_stop(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Redis or the store was away when it started, and turns out to be another's."""
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: told.append(number))
    await halves(engine).join()
    engine.redis.delete(keys.INSTALLATION())
    await halves(engine, tmp_path / "other").join()
    await join_in_time(halves(engine))
    assert told == [signal.SIGTERM]
    assert "set both to one installation's" in capsys.readouterr().err
