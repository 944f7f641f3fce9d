"""Messages are taken and not noted: one that is lost costs time, one that was not begun is put back.

Setup: our real processes and every command that Redis gets. Timeline: messages come while a worker stops, a worker is
killed with a message in its hands. Proves: nothing is left behind in Redis, no job is forgotten.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from celery import Celery
from redis import Redis

from config.broker import celery_options
from tests.support.processes import Installation, until
from worker.store.keys import CELERY

PLACES = 2


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """Leases of two seconds, two places."""
    settings = {"upstream_timeout_seconds": "3", "upstream_connect_timeout_seconds": "1"}
    with Installation(
        tmp_path, upstream_max_in_flight="1000", worker_concurrency=str(PLACES), **settings
    ) as installation:
        yield installation


@contextmanager
def commands_of(here: Installation, word: str) -> Iterator[list[str]]:
    """Every command with that word in it that Redis got meanwhile."""
    found: list[str] = []
    end = "the end of the list"

    def listen() -> None:
        with Redis.from_url(here.redis.url) as redis, redis.monitor() as monitor:
            listening.set()
            for each in monitor.listen():
                if end in each["command"]:
                    return
                if word in each["command"]:
                    found.append(each["command"])

    listening = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    listening.wait(10)
    yield found
    with Redis.from_url(here.redis.url) as redis:
        redis.echo(end)
    thread.join()


def post(here: Installation, prompt: str, count: int, **more: int) -> list[str]:
    """So many of the same job; the ids."""
    body = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64} | more
    answer = here.client.post("/v1/jobs/batch", json=[body] * count)
    assert answer.status_code == 202, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def taken(here: Installation) -> int:
    """POSTs that the sandbox has taken."""
    return int(httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()["taken"])


def test_nothing_is_noted_of_a_message_that_is_taken(here: Installation) -> None:
    """Not one command, from accept to the end."""
    with commands_of(here, "unacked") as noted:
        for each in post(here, "a kite", 10):
            here.reaches(each, "succeeded")
    # the worker that starts removes what may be there
    assert [each for each in noted if not each.startswith("DEL ")] == []


def test_a_stopping_worker_gives_back_what_it_has_not_begun(here: Installation) -> None:
    """Messages that come while it stops, and those that it had no place for, are all in the list afterwards."""
    here.stop("worker")
    here.start("worker", "submit", name="submitter", lease_seconds="60")
    with Redis.from_url(here.redis.url) as redis:
        until(lambda: [each for each in redis.client_list() if each["cmd"] == "brpop"], what="a worker that asks")
        here.processes["submitter"].terminate()
        ids = post(here, "a mast [[answer-delay=1]]", 10)
        assert here.processes["submitter"].wait(30) == 0
        assert int(redis.llen(CELERY("submit"))) + taken(here) == len(ids)
        assert redis.keys("*unacked*") == []
    here.stop("submitter")
    here.start("worker")
    for each in ids:
        here.reaches(each, "succeeded")


def test_what_a_killed_worker_had_taken_is_found_by_its_due_time(here: Installation) -> None:
    """Every job ends, none is bought twice; only those whose POST was under way may be open until the deadline."""
    ids = post(here, "an oar [[answer-delay=0.2]]", 12, deadline_seconds=30)
    until(lambda: taken(here) >= 3, what="some under way")
    here.kill("worker")
    here.start("worker")
    ended = [here.reaches(each, "succeeded", "expired", seconds=60) for each in ids]
    bought = [[row["taken"] for row in here.bill(job["id"])].count(True) for job in ended]
    assert bought == [int(job["status"] == "succeeded") for job in ended]
    assert sum(bought) >= len(ids) - PLACES


def test_what_the_version_before_has_noted_is_removed(here: Installation) -> None:
    """A message that a killed worker of that version had taken: its job is done, and nothing stays."""
    here.stop("worker")
    (job_id,) = post(here, "a rope", 1)
    old = Celery("the version before", set_as_current=False)
    old.conf.update(celery_options(here.redis.url))
    old.conf.broker_transport_options = old.conf.broker_transport_options | {"ack_emulation": True}
    with old.connection() as connection, Redis.from_url(here.redis.url) as redis:
        channel = connection.channel()
        assert channel.basic_get("submit") is not None
        channel.qos._delivered.clear()  # it dies: it gives nothing back
        assert len(redis.keys("*unacked*")) == 2
        here.start("worker")
        here.reaches(job_id, "succeeded")
        assert redis.keys("*unacked*") == []
