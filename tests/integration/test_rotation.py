"""A new DARKROOM_SECRET: what was signed with the old one is heard as long as the old one is set."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import SecretStr
from redis import Redis

from config.settings import Settings
from tests.support.api_server import ACME, running_api
from tests.support.engine import Engine, running_engine
from tests.support.queue import answered
from worker.job.answer import Answer, Taken
from worker.upstream.callback_url import callback_url

OLD, NEW = "an-old-secret-for-tests-0123456789", "a-new-secret-for-tests-0123456789"
ENDED = {"status": "failed", "message": "out of paint"}


def with_secret(settings: Settings, secret: str) -> Settings:
    """The settings after a restart with that DARKROOM_SECRET."""
    return settings.model_copy(update={"secret": SecretStr(secret)})


@contextmanager
def api(settings: Settings, secret: str) -> Iterator[httpx.Client]:
    """A client, which sends no key, of the API as it starts with that secret."""
    with running_api(with_secret(settings, secret)) as client:
        yield client


async def submitted(engine: Engine) -> Any:
    """A job that the upstream has, with the address for its callback, as the engine's settings sign it."""
    job_id = await engine.accepted()
    await answered(engine.r.store, job_id, Taken(Answer("processing", request_id=job_id)))
    return await engine.job(job_id)


def callback_path(engine: Engine, job: Any) -> str:
    return httpx.URL(callback_url(engine.r.settings, job.attempt.track_id)).path


async def test_what_was_signed_before_a_rotation_is_heard_until_the_old_secret_is_taken_away(
    settings: Settings, redis: Redis
) -> None:
    """Callbacks of jobs that were submitted under the old one, and the addresses of images."""
    async with running_engine(with_secret(settings, OLD), redis) as engine:
        shown = f"/v1/jobs/{(await engine.finished()).id}"
        first, second = await submitted(engine), await submitted(engine)
        first_path, second_path = callback_path(engine, first), callback_path(engine, second)
        with api(settings, OLD) as client:
            old_address = client.get(shown, headers=ACME).json()["images"][0]["url"]
        with api(settings, f"{OLD},{NEW}") as client:
            assert client.post(first_path, json=ENDED).json() == {"received": "kept"}
            await engine.work()
            assert (await engine.job(first.id)).error.upstream_message == "out of paint"
            new_address = client.get(shown, headers=ACME).json()["images"][0]["url"]
            assert client.get(httpx.URL(old_address).raw_path.decode()).status_code == 200
        with api(settings, NEW) as client:
            assert client.post(second_path, json=ENDED).status_code == 404
            assert client.get(httpx.URL(old_address).raw_path.decode()).status_code == 404
            assert client.get(httpx.URL(new_address).raw_path.decode()).status_code == 200
            assert (await engine.job(second.id)).status == "processing"


async def test_a_worker_with_both_secrets_signs_for_the_time_when_only_the_new_one_is_left(
    settings: Settings, redis: Redis
) -> None:
    """So the old one may be taken away once the jobs that were submitted with it have ended."""
    async with running_engine(with_secret(settings, f"{OLD},{NEW}"), redis) as engine:
        job = await submitted(engine)
        with api(settings, NEW) as client:
            assert client.post(callback_path(engine, job), json=ENDED).json() == {"received": "kept"}
        await engine.work()
        assert (await engine.job(job.id)).status == "failed"
