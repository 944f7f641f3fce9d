"""What Redis executes after we gave up on it: what was refused never exists, a late intent is none."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from tests.support.processes import Installation, until
from tests.support.slow_wire import slow_wire


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file; Redis knows its scripts, as it does after the first job."""
    with Installation(tmp_path_factory.mktemp("installation"), lease_seconds="6") as installation:
        installation.reaches(installation.post("a first one")["id"], "succeeded")
        yield installation


def test_an_accept_that_was_refused_never_exists(here: Installation) -> None:
    """Redis stands still for longer than the time-out: who got 503 finds no job afterwards, and nothing is bought."""
    answers: list[int] = []

    def post() -> None:
        request = {"model_id": "m", "prompt": "a refused cat", "width": 64, "height": 64}
        answers.append(here.client.post("/v1/jobs", json=request).status_code)

    assert here.redis.pid
    os.kill(here.redis.pid, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=post) for _ in range(20)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        time.sleep(3)
    finally:
        os.kill(here.redis.pid, signal.SIGCONT)
    for thread in threads:
        thread.join()
    until(here.ready, 10, "ready again")
    time.sleep(1)
    assert answers.count(503) >= 10
    with Redis.from_url(here.redis.url) as redis:
        assert len(redis.keys("job:*")) == 1 + answers.count(202)
    bill = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()["posts"]
    assert len(bill) == 1 + answers.count(202)


def test_an_intent_that_comes_late_is_no_intent(here: Installation) -> None:
    """One segment on its way to Redis is late: its worker has given up, and the job is sent by another try, once."""
    with slow_wire(here.redis.port) as wire:
        here.stop("worker")
        through = here.redis.url.replace(f":{here.redis.port}/", f":{wire.port}/")
        here.start("worker", redis_url=through)
        until(lambda: (ready := here.ready()) and ready["workers"], what="ready")
        wire.hold_next(b"intent", 3)  # longer than the time-out, less than a lease
        job = here.post("a late word", deadline_seconds=30)
        assert wire.arrived.wait(20)
        done = here.reaches(job["id"], "succeeded", "expired", "failed", seconds=40)
        assert done["status"] == "succeeded"
        assert [row["taken"] for row in here.bill(job["id"])] == [True]
        assert "unknown" not in [row["to"] for row in done["timeline"]]
        here.kill("worker")
        here.start("worker")


def test_an_accept_whose_reply_is_lost_is_asked_for_until_it_is_known(here: Installation) -> None:
    """The connection breaks once Redis has it: the caller gets the 202 that is true, and there is one job."""
    with slow_wire(here.redis.port) as wire:
        restarted_api(here, wire.port)
        wire.lose_reply(b"a lost reply")
        job_id = here.post("a lost reply")["id"]
        assert here.reaches(job_id, "succeeded")["id"] == job_id
        assert len(jobs_of(here, "a lost reply")) == 1
        restarted_api(here, here.redis.port)


def test_what_nobody_knows_is_answered_with_nothing(here: Installation) -> None:
    """The connection breaks and Redis stays away: a refusal might be a lie, so the caller's connection just ends."""
    with slow_wire(here.redis.port) as wire:
        restarted_api(here, wire.port)
        wire.lose_reply(b"a doubtful cat", then_down=True)
        request = {"model_id": "m", "prompt": "a doubtful cat", "width": 64, "height": 64}
        key = {"idempotency-key": "doubtful"}
        with pytest.raises(httpx.RemoteProtocolError):
            here.client.post("/v1/jobs", json=request, headers=key)
    restarted_api(here, here.redis.port)
    job = here.client.post("/v1/jobs", json=request, headers=key)
    assert job.status_code == 202
    assert [job.json()["id"]] == jobs_of(here, "a doubtful cat"), "the careful caller finds the job that was made"
    here.reaches(job.json()["id"], "succeeded")


def restarted_api(here: Installation, redis_port: int) -> None:
    """The API, on that way to Redis."""
    here.stop("api")
    here.start("api", redis_url=here.redis.url.replace(f":{here.redis.port}/", f":{redis_port}/"))
    until(here.ready, what="ready")


def jobs_of(here: Installation, prompt: str) -> list[str]:
    """Ids of the jobs with that prompt."""
    rows = here.client.get("/v1/jobs", params={"limit": 100}).json()["jobs"]
    return [row["id"] for row in rows if row["request"]["prompt"] == prompt]
