"""Whatever is put on a queue is parked and counted; the process that took it lives, and takes the next message.

Setup: our real processes. Timeline: poison is pushed into every queue while a job runs; commands that would stop a
worker are given. Proves: nothing dies, nothing runs, nothing is forgotten, nothing of it is in a log.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from config.broker import QUEUES, celery_options
from tests.support.poison import poison, poisoned_commands
from tests.support.processes import KEY, Installation, children_of, until
from worker.running.remote_control import OFF
from worker.store.keys import CELERY, PARKED, PARKED_COUNTS

CHANNEL = "{darkroom}celery:/0.celery.pidbox"
HARMFUL = {
    "shutdown": {}, "cancel_consumer": {"queue": "settle"}, "add_consumer": {"queue": "other"}, "pool_grow": {"n": 3},
    "pool_shrink": {"n": 3}, "pool_restart": {}, "autoscale": {"max": 3}, "disable_events": {}, "election": {},
    "rate_limit": {"task_name": "darkroom.settle", "rate_limit": "1/h"}, "time_limit": {"task_name": "darkroom.settle"},
    "revoke": {"task_id": "x"}, "terminate": {"signal": "KILL", "task_id": "x"}, "memdump": {}, "report": {},
}  # fmt: skip
QUESTIONS = (
    "ping", "active", "reserved", "scheduled", "revoked", "stats", "registered", "active_queues", "conf",
)  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("poison")) as installation:
        yield installation


@pytest.fixture
def redis(here: Installation) -> Iterator[Redis]:
    with Redis.from_url(here.redis.url) as client:
        client.delete(PARKED(), PARKED_COUNTS())
        yield client


def roles(here: Installation) -> list[int]:
    """The process ids of the worker's roles; the decoder of one comes and goes."""
    return [pid for pid in children_of(here.processes["worker"].pid) if _is_role(pid)]


def _is_role(pid: int) -> bool:
    return any(f"-m\0worker\0{role}" in Path(f"/proc/{pid}/cmdline").read_text() for role in QUEUES)


def parked(redis: Redis) -> int:
    return sum(map(int, redis.hvals(PARKED_COUNTS())))


def celery(here: Installation, *words: str) -> "subprocess.CompletedProcess[str]":
    """Celery's own command, as an operator runs it."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app:app", *words]
    return subprocess.run(command, env=os.environ | here.settings, capture_output=True, text=True, check=False)


def test_poison_in_every_queue_stops_nothing(here: Installation, redis: Redis) -> None:
    """A job that is under way meanwhile succeeds; every message is kept with its reason, cut."""
    pids, bad = roles(here), dict(poison())
    job = here.post("a still life [[callback=1]]")
    for content in bad.values():
        for queue in QUEUES:
            redis.lpush(CELERY(queue), content)
    here.reaches(job["id"], "succeeded")
    until(lambda: parked(redis) >= len(bad) * len(QUEUES), what="all parked")
    here.reaches(here.post("another")["id"], "succeeded")
    assert roles(here) == pids
    assert len(pids) == len(QUEUES)
    assert parked(redis) == redis.llen(PARKED()) == len(bad) * len(QUEUES)
    assert max(map(len, redis.lrange(PARKED(), 0, -1))) < 4096
    assert not Path("/tmp/poison-ran").exists()
    counted = 'darkroom_parked_messages_total{name="tell",why="too_large"}'
    assert any(line.startswith(counted) for line in here.client.get("/metrics").text.splitlines())
    assert f"{redis.llen(PARKED())} messages that were not ours" in here.run("doctor").stdout
    assert len(here.run("parked").stdout.splitlines()) == redis.llen(PARKED())
    log = here.log("worker")
    assert "worker.died" not in log
    assert not any(each in log for each in ("../../etc/passwd", "os.system", "AAAA"))


def test_a_poisoned_command_stops_nothing(here: Installation, redis: Redis) -> None:
    """By the channel of remote control: the same poison, and commands that would reach further than an answer."""
    pids, bad = roles(here), dict(poison()) | dict(poisoned_commands())
    for content in bad.values():
        assert redis.publish(CHANNEL, content) >= len(QUEUES)
    until(lambda: parked(redis) >= len([each for each in bad.values() if each]) * len(QUEUES), what="all counted")
    here.reaches(here.post("after them")["id"], "succeeded")
    assert roles(here) == pids


def test_a_command_that_changes_a_worker_is_off(here: Installation) -> None:
    """It says so, and changes nothing."""
    pids = roles(here)
    for name, arguments in HARMFUL.items():
        answers = asked(here, name, arguments)
        assert [answer["error"] for answer in answers] == [OFF] * len(QUEUES), (name, answers)
    done = celery(here, "control", "shutdown")
    assert done.stdout.count(OFF) == len(QUEUES), done.stdout + done.stderr
    here.reaches(here.post("after them")["id"], "succeeded")
    assert roles(here) == pids


def test_what_a_worker_answers_holds_no_secret(here: Installation) -> None:
    """All that `celery inspect` and Flower ask is answered by each role, and no password or key is in it."""
    secrets = [here.redis.url.split("@")[0].rpartition(":")[2], here.settings["DARKROOM_SECRET"], KEY]
    said = {question: asked(here, question) for question in QUESTIONS}
    assert {question: len(answers) for question, answers in said.items()} == dict.fromkeys(QUESTIONS, len(QUEUES))
    assert not any("error" in answer for answers in said.values() for answer in answers)
    done = celery(here, "inspect", "stats")
    assert done.stdout.count("CoroutinePool") == len(QUEUES), done.stderr
    assert not any(secret in done.stdout + repr(said) for secret in secrets)


def asked(here: Installation, name: str, arguments: dict[str, Any] | None = None) -> list[Any]:
    """What each role answers to a command."""
    client = Celery("operator", set_as_current=False)
    client.conf.update(celery_options(here.redis.url))
    answers = client.control.broadcast(name, arguments=arguments or {}, reply=True, timeout=10, limit=len(QUEUES))
    return [answer for each in answers or [] for answer in each.values()]


@pytest.mark.parametrize(
    ("field", "why"), [("doc", b"settle broken_record"), ("order", b"settle broken_record"), ("deadline", None)]
)
def test_a_record_that_nobody_can_read_keeps_no_other_from_its_turn(
    here: Installation, redis: Redis, field: str, why: bytes | None
) -> None:
    """Broken by hand, and due: it is looked at once, parked, and due again an hour later. Others go on."""
    job_id = here.post("a broken vase [[no-callback]] [[delay=600]]")["id"]
    here.reaches(job_id, "processing")
    redis.hset(f"job:{job_id}", field, "\x00 garbage")
    redis.zadd("due", {job_id: 1})
    until(lambda: (redis.zscore("due", job_id) or 0) > (redis.time()[0] + 3000) * 1000, what="put off")
    here.reaches(here.post("a whole one")["id"], "succeeded")
    assert redis.hgetall(PARKED_COUNTS()) == ({why: b"1"} if why else {})
    assert "garbage" not in here.log("worker")
    assert here.run("parked", "--json").stdout.count(job_id) == bool(why)
    redis.delete(f"job:{job_id}")
    redis.zrem("due", job_id)
