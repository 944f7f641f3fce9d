"""Telling callers with real processes: a dead receiver delays nobody, GET shows what is told, told again by hand.

Setup: one installation; receivers on real sockets, one of which takes connections and never answers. Proves: the
healthy are told at once whatever the dead one does; the deliveries and the commands over it.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from standardwebhooks import Webhook

from config.broker import KEY_PREFIX
from tests.support.deliveries import ended_job
from tests.support.processes import KEY, Installation, until
from tests.support.receiver import Receiver
from worker.app import app
from worker.store.jobs import JobStore
from worker.store.keys import CELERY
from worker.store.lane import Lane, connect
from worker.store.messages import message_template

DEAD, HEALTHY = 200, 20
PER_HOST = 4


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all of it."""
    folder = tmp_path_factory.mktemp("installation")
    # as few tellers as the dead one could take alone, were it let
    settings = {"tell_concurrency": "16", "tell_per_host": str(PER_HOST), "tell_per_tenant": "12"}
    with Installation(folder, **settings) as installation:
        yield installation


@pytest.fixture
def hanging() -> Iterator[socket.socket]:
    """A host that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server


def told_of(here: Installation, job_id: str, state: str) -> dict[str, Any]:
    """The one delivery of a job, once it is in that state."""

    def found() -> dict[str, Any] | None:
        rows = here.client.get(f"/v1/jobs/{job_id}/deliveries").json()["deliveries"]
        return next((each for each in rows if each["state"] == state), None)

    shown: dict[str, Any] = until(found, what=state)
    return shown


def without_addresses(job: dict[str, Any]) -> dict[str, Any]:
    """Signed addresses end at a whole hour: one asked for in the next hour is another."""
    return job | {"images": [{k: v for k, v in image.items() if k != "url"} for image in job["images"]]}


def test_what_is_told_is_what_get_shows_signed_and_after_the_image_is_there(
    here: Installation, receiver: Receiver
) -> None:
    """The bytes of the body as objects, the ids, the row; the image can be fetched by the address in it."""
    job = here.post("a gull", webhook=receiver.url, track_id="mine", metadata={"a": 1})
    here.reaches(job["id"], "succeeded")
    row = told_of(here, job["id"], "delivered")
    headers, body = receiver.requests[0]
    told = json.loads(body)
    assert without_addresses(told) == without_addresses(here.job(job["id"]))
    assert here.client.get(told["images"][0]["url"], headers={"authorization": ""}).status_code == 200
    assert headers["webhook-id"] == row["id"]
    shared = here.run("webhooks", "secret").stdout.split()
    assert Webhook(shared[0]).verify(body, headers) == told
    assert [each["status"] for each in row["attempts"]] == [200]


def test_a_hanging_host_delays_no_other_and_uses_up_no_schedule(
    here: Installation, receiver: Receiver, hanging: socket.socket
) -> None:
    """Two hundred to it, then twenty to a healthy one: these are told long before a try at the dead one is over."""
    dead_url = f"http://127.0.0.1:{hanging.getsockname()[1]}/"

    async def make() -> list[str]:
        lane = Lane(connect(here.redis.url, 5), 5)
        store = JobStore(lane, message_template(app), KEY_PREFIX, 60_000)
        dead = [await ended_job(store, dead_url) for _ in range(DEAD)]
        for _ in range(HEALTHY):
            await ended_job(store, receiver.url)
        await lane.aclose()
        return dead

    dead = asyncio.run(make())
    began = time.monotonic()
    until(lambda: len(receiver.requests) == HEALTHY, what="the healthy are told")
    assert time.monotonic() - began < 5, "a try at one that hangs lasts 15 s"
    with Redis.from_url(here.redis.url) as redis:
        until(lambda: redis.llen(CELERY("tell")) == 0, what="the queue is empty while the dead one hangs")
        [line] = redis.keys(f"line:telling:acme 127.0.0.1:{hanging.getsockname()[1]} ep_*")
        held = redis.zcard(f"telling:host:127.0.0.1:{hanging.getsockname()[1]}")
        assert (held, redis.zcard(line)) == (PER_HOST, DEAD - PER_HOST)
        tries = [int(redis.hget(f"delivery:{each}", "tries") or 0) for each in dead]  # type: ignore[arg-type]
        assert sum(tries) == 0


def test_a_tenant_that_hangs_at_a_shared_host_delays_no_other_there(here: Installation, receiver: Receiver) -> None:
    """64 of acme's to one address that never answers; other's, to another address of that host, is told as if alone."""
    hang = receiver.url.replace("/told", "/hang")

    async def make(webhook: str, tenant: str, many: int) -> None:
        lane = Lane(connect(here.redis.url, 5), 5)
        store = JobStore(lane, message_template(app), KEY_PREFIX, 60_000)
        for _ in range(many):
            await ended_job(store, webhook, tenant)
        await lane.aclose()

    asyncio.run(make(hang, "acme", 64))
    until(lambda: len(receiver.hanging) == PER_HOST, what="acme holds what it may")
    began = time.monotonic()
    asyncio.run(make(receiver.url, "other", 1))
    until(lambda: len(receiver.requests) == 1, what="the other is told")
    assert time.monotonic() - began < 5, "a try at one that hangs lasts 15 s"
    assert len(receiver.hanging) == PER_HOST


def test_a_receiver_that_is_gone_is_left_alone_until_it_is_enabled_and_replayed(
    here: Installation, receiver: Receiver
) -> None:
    """By the operator's commands, each with its exit code."""
    receiver.status = 410
    first = here.post("a heron", webhook=receiver.url)["id"]
    gone = told_of(here, first, "gone")
    second = here.post("a heron again", webhook=receiver.url)["id"]
    kept = told_of(here, second, "endpoint_disabled")
    assert len(receiver.requests) == 1
    endpoints = here.run("webhooks", "endpoints", "acme", "--json").stdout.splitlines()
    [disabled] = [each for each in map(json.loads, endpoints) if each["state"] == "disabled"]
    refused = here.run("deliveries", "replay", kept["id"])
    assert (refused.returncode, "disabled" in refused.stdout) == (1, True)
    receiver.status = 200
    assert here.run("webhooks", "enable", "acme", disabled["id"]).returncode == 0
    dry = here.run("deliveries", "replay", "--since", gone["created_at"], "--dry-run")
    assert dry.stdout.startswith("2 would be told again")
    done = here.run("deliveries", "replay", "--since", gone["created_at"])
    assert (done.returncode, done.stdout.startswith("2 are told again")) == (0, True)
    for job_id, before in ((first, gone), (second, kept)):
        assert told_of(here, job_id, "delivered")["id"] == before["id"]
    ids = [headers["webhook-id"] for headers, _ in receiver.requests]
    assert sorted(ids) == sorted([gone["id"], gone["id"], kept["id"]])
    listed = here.run("deliveries", "--job", first, "--json")
    assert [each["status"] for each in json.loads(listed.stdout)["attempts"]] == [410, 200]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["deliveries", "--state", "exhausted"], 1),
        (["deliveries", "--since", "yesterday"], 2),
        (["deliveries", "replay"], 2),
        (["deliveries", "replay", "msg_x"], 1),
        (["deliveries", "--dry-run"], 2),
        (["webhooks", "enable", "acme", "ep_0"], 1),
        (["webhooks", "secret", "--rotate"], 2),
        (["webhooks", "secret", "No Tenant"], 2),
        (["webhooks"], 2),
    ],
)
def test_the_commands_exit_codes(here: Installation, words: list[str], code: int) -> None:
    """0 done, 1 nothing found, 2 wrong usage."""
    assert here.run(*words).returncode == code


def test_a_rotated_secret_signs_at_once_in_processes_that_run(here: Installation, receiver: Receiver) -> None:
    """Two signatures; no secret in any log."""
    rotated = here.run("webhooks", "secret", "acme", "--rotate").stdout.split()
    assert len(rotated) == 2
    job = here.post("a tern", webhook=receiver.url)
    told_of(here, job["id"], "delivered")
    headers, body = receiver.requests[0]
    for secret in rotated:
        assert Webhook(secret).verify(body, headers)
    logs = here.log("worker") + here.log("api")
    assert not [secret for secret in (*rotated, KEY) if secret.removeprefix("whsec_") in logs]
