"""What an operator's verb says, as a process of its own on the same Redis."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from config.settings import Settings
from tests.support.engine import Engine, running_engine
from tests.support.queue import DURATIONS, claimed
from worker.job import decisions
from worker.job.answer import Answer


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine that nobody runs."""
    async with running_engine(settings, redis) as made:
        yield made


async def said(settings: Settings, *words: str) -> tuple[str, str]:
    """What the verb writes on stdout and on stderr."""
    environment = os.environ | {
        "DARKROOM_REDIS_URL": settings.redis_url.get_secret_value(),
        "DARKROOM_SECRET": settings.secret.get_secret_value(),
        "DARKROOM_IMAGES_URL": settings.images_url,
        "DARKROOM_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "api.cli.main", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout, done.stderr


async def test_the_log_lines_of_a_verb_do_not_mix_with_what_it_answers(engine: Engine, settings: Settings) -> None:
    """A script reads stdout; the lines go to stderr, as those of every process."""
    await engine.accepted()
    answer, lines = await said(settings, "bulk", "cancel", "--tenant", "acme", "--yes")
    assert answer == "1 jobs cancelled\n"
    assert '"event": "job.cancelled"' in lines


async def test_explain_tells_of_answers_that_were_not_believed(engine: Engine, settings: Settings) -> None:
    """Somebody else's id in a callback: whoever looks at the job finds a word of it."""
    job_id = await engine.accepted()
    await claimed(engine.r.store, job_id)
    assert "contradicted" not in (await said(settings, "explain", job_id))[0]
    found = await engine.r.store.load(job_id)
    assert found is not None
    another = Answer("failed", request_id="7", track_id="another's")
    step = decisions.called_back(found.job, 1, another, found.now, DURATIONS)
    assert step is not None
    assert await engine.r.store.advance(found, step)
    answer, _ = await said(settings, "explain", job_id)
    assert answer.splitlines()[1] == "1 of the answers about it contradicted what was known: counted, not believed"
