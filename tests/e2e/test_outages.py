"""What is away for a while: Redis that will not write, a store that cannot be written, callbacks that never come."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.support.processes import Installation, until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file."""
    with Installation(tmp_path_factory.mktemp("installation"), max_waiting_jobs="5") as installation:
        yield installation


def taken(here: Installation, job_id: str) -> int:
    return [row["taken"] for row in here.bill(job_id)].count(True)


def test_a_redis_that_will_not_write_is_503_and_then_goes_on(here: Installation) -> None:
    """Failover to read-only: refused early, nothing accepted is lost, recovered within ten seconds.

    Out of memory is another thing: test_out_of_memory.py.
    """
    job = here.post("a pier [[delay=1]]")
    with Redis.from_url(here.redis.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            answer = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "p"})
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            until(
                lambda: here.client.get("/readyz").status_code == 503, 5, "readiness, which is found out once a second"
            )
            time.sleep(2)
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")
    until(here.ready, 10, "ready again")
    assert taken(here, here.reaches(job["id"], "succeeded", seconds=40)["id"]) == 1


def test_what_cannot_be_stored_is_not_bought_and_past_the_bound_not_accepted(here: Installation) -> None:
    """The store is away: jobs wait, unbought; the queue's bound says 507; all finish once it is back."""
    here.reaches(here.post("a first image")["id"], "succeeded")
    images = here.folder / "images"
    images.rename(here.folder / "away")
    images.write_text("no folder")
    until(lambda: here.client.get("/readyz").status_code == 503, what="seen by the API")
    until(lambda: "images.away" in here.log("worker"), what="seen by the worker")
    time.sleep(1)
    ids = [here.post(f"a quay {n}")["id"] for n in range(5)]
    refused = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "p"})
    assert (refused.status_code, refused.json()["code"]) == (507, "insufficient_storage")
    time.sleep(2)
    assert {here.job(each)["status"] for each in ids} == {"queued"}
    assert [taken(here, each) for each in ids] == [0] * 5
    images.unlink()
    (here.folder / "away").rename(images)
    assert [taken(here, here.reaches(each, "succeeded", seconds=40)["id"]) for each in ids] == [1] * 5


def test_when_callbacks_stop_polls_tighten_and_when_they_return_it_is_said_so(here: Installation) -> None:
    """One warning and a metric; then one that they are back."""
    with Redis.from_url(here.redis.url) as redis:
        for key in redis.keys("health:*"):
            redis.delete(key)
    for n in range(5):
        here.reaches(here.post(f"a silence {n} [[no-callback]]")["id"], "succeeded", seconds=40)
    until(lambda: "callbacks.missing" in here.log("worker"), what="missed")
    assert "darkroom_callbacks_arrive 0.0" in here.client.get("/metrics").text
    for n in range(2):
        here.reaches(here.post(f"a sound {n}")["id"], "succeeded", seconds=40)
    until(lambda: "callbacks.back" in here.log("worker"), what="heard again")
    assert "darkroom_callbacks_arrive 1.0" in here.client.get("/metrics").text


def test_a_cut_tail_of_the_append_only_file_starts_and_goes_on(here: Installation) -> None:
    """What a power cut can leave behind: the server repairs it, and what is whole goes on."""
    job = here.reaches(here.post("a lantern")["id"], "succeeded")
    here.redis.kill()
    tail = max((here.redis.folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    with tail.open("r+b") as file:
        file.truncate(tail.stat().st_size - 7)
    here.redis.start()
    until(here.ready, 20, "ready again")
    # the last write is gone, so the job may stand a step back: it goes on from there, and nothing is bought again
    assert taken(here, here.reaches(job["id"], "succeeded", seconds=40)["id"]) == 1
    assert here.reaches(here.post("a morning")["id"], "succeeded", seconds=40)
