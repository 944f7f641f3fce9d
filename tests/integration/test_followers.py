"""Callers that follow a job: so many of a tenant, so many in all, and none whose key is no longer valid."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from config.settings import Settings
from tests.support.api_server import running_api
from worker.store.api_keys import KeyStore
from worker.store.lane import Lane, connect

BODY = {"model_id": "m", "prompt": "a cat"}
ACME = {"authorization": "Bearer acme-key-0123"}
OTHER = {"authorization": "Bearer other-key-0123"}


def job_of(client: httpx.Client, key: dict[str, str]) -> str:
    """A job that waits."""
    return str(client.post("/v1/jobs", json=BODY, headers=key).json()["id"])


def follow(stack: ExitStack, client: httpx.Client, job: str, key: dict[str, str]) -> httpx.Response:
    """An open stream, or its refusal."""
    return stack.enter_context(client.stream("GET", f"/v1/jobs/{job}/events", headers=key))


def made_key(settings: Settings) -> tuple[dict[str, str], str]:
    """The header field of a new key of acme, and its id."""
    text, key = asyncio.run(on_keys(settings, lambda keys: keys.make("acme", ("read", "submit"))))
    return {"authorization": f"Bearer {text}"}, key.id


def revoke(settings: Settings, key_id: str) -> None:
    """As `darkroom keys revoke` does."""
    asyncio.run(on_keys(settings, lambda keys: keys.revoke(key_id)))


async def on_keys(settings: Settings, act: Callable[[KeyStore], Awaitable[Any]]) -> Any:
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    try:
        return await act(KeyStore(lane))
    finally:
        await lane.aclose()


@pytest.mark.parametrize(("most", "mine", "others"), [(10, 3, 200), (3, 10, 429)], ids=["of a tenant", "in all"])
def test_streams_beyond_the_bound_are_refused(settings: Settings, most: int, mine: int, others: int) -> None:
    """A tenant's own bound leaves the others alone; a place that is left is free again."""
    changed = settings.model_copy(update={"max_followers": most, "tenant_max_followers": mine})
    with running_api(changed) as client, ExitStack() as stack:
        job, foreign = job_of(client, ACME), job_of(client, OTHER)
        streams = [follow(stack, client, job, ACME) for _ in range(3)]
        assert {stream.status_code for stream in streams} == {200}
        refused = client.get(f"/v1/jobs/{job}/events", headers=ACME)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_followers")
        assert refused.headers["retry-after"]
        assert follow(stack, client, foreign, OTHER).status_code == others
        streams[0].close()
        deadline = time.monotonic() + 5
        while follow(stack, client, job, ACME).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations"])
def test_a_wait_beyond_the_bound_accepts_nothing(settings: Settings, path: str) -> None:
    """It would be bought, and nobody would know."""
    changed = settings.model_copy(update={"tenant_max_followers": 1})
    body = BODY | {"model": "m"} if path.endswith("generations") else BODY
    with running_api(changed) as client:
        headers = ACME | {"prefer": "wait=3"}
        waiting = threading.Thread(target=client.post, args=("/v1/jobs",), kwargs={"json": BODY, "headers": headers})
        waiting.start()
        time.sleep(1)
        refused = client.post(path, json=body, headers=headers)
        assert refused.status_code == 429
        waiting.join()
        assert len(client.get("/v1/jobs", headers=ACME).json()["jobs"]) == 1
        assert client.post("/v1/jobs", json=BODY, headers=ACME | {"prefer": "wait=1"}).status_code == 202


def test_the_stream_of_a_revoked_key_ends_within_seconds(settings: Settings) -> None:
    """Requests stop at once; what is open must not go on until the job ends."""
    with running_api(settings) as client:
        headers, key_id = made_key(settings)
        job = job_of(client, ACME)
        with client.stream("GET", f"/v1/jobs/{job}/events", headers=headers, timeout=20) as stream:
            lines = stream.iter_lines()
            next(lines)
            revoke(settings, key_id)
            began = time.monotonic()
            list(lines)
    assert time.monotonic() - began < 10


def test_the_wait_of_a_revoked_key_ends_within_seconds(settings: Settings) -> None:
    """It would show the job's images to whoever stole the key. The job itself goes on."""
    with running_api(settings) as client, ThreadPoolExecutor(1) as pool:
        headers, key_id = made_key(settings)
        began = time.monotonic()
        waiting = pool.submit(client.post, "/v1/jobs", json=BODY, headers=headers | {"prefer": "wait=30"}, timeout=40)
        time.sleep(0.5)
        revoke(settings, key_id)
        assert waiting.result().status_code == 401
        assert time.monotonic() - began < 12
        assert len(client.get("/v1/jobs", headers=ACME).json()["jobs"]) == 1
