"""What a crash costs: time. Never a job, never a second purchase.

Setup: our real processes, leases of two seconds. Timeline: something is killed, stopped or emptied while jobs are on
their way, and comes back. Proves: every accepted job ends, each is on the sandbox's bill at most once.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from redis import Redis

from api.cli.stack.alive import ROLES
from tests.support.processes import Installation, children_of, until
from worker.store.keys import CELERY

PROCESSES = {"worker.upstream", "api", "worker"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file."""
    folder = tmp_path_factory.mktemp("installation")
    settings = {
        "unknown_wait_seconds": "3",
        "deadline_seconds": "60",
        "upstream_timeout_seconds": "3",
        "upstream_connect_timeout_seconds": "1",
    }
    with Installation(folder, **settings) as installation:
        yield installation


@pytest.fixture
def here(installation: Installation) -> Iterator[Installation]:
    """The installation, whole: what another crash took away runs again, and nothing was learned from its jobs."""
    for name in PROCESSES - installation.processes.keys():
        installation.start(name)
    until(lambda: (ready := installation.ready()) and ready["workers"] >= ROLES, what="ready")
    with Redis.from_url(installation.redis.url) as redis:
        for key in redis.keys("health:*") + redis.keys("quickest:*"):
            redis.delete(key)
    yield installation
    for name in installation.processes.keys() - PROCESSES:
        installation.kill(name)


def taken(here: Installation, job_id: str) -> int:
    return [row["taken"] for row in here.bill(job_id)].count(True)


def test_a_worker_killed_while_it_waits_for_the_answer_buys_nothing_twice(here: Installation) -> None:
    """The attempt becomes unknown, the callback brings the image."""
    ids = [here.post(f"a ship {n} [[answer-delay=2]] [[delay=4]]")["id"] for n in range(4)]
    until(lambda: all(taken(here, each) for each in ids), what="all on the bill")
    here.kill("worker")
    here.start("worker")
    jobs = [here.reaches(each, "succeeded", seconds=40) for each in ids]
    assert [taken(here, job["id"]) for job in jobs] == [1] * 4
    assert all(job["attempts"][0]["number"] == 1 for job in jobs)


def test_a_worker_killed_before_its_answer_whose_callback_is_lost_stays_unknown(here: Installation) -> None:
    """Nobody knows, so nobody buys again: at the deadline it expires, honestly."""
    job = here.post("a wreck [[answer-delay=5]] [[no-callback]]", deadline_seconds=12)
    until(lambda: taken(here, job["id"]), what="on the bill")
    here.kill("worker")
    here.start("worker")
    ended = here.reaches(job["id"], "expired", seconds=40)
    assert taken(here, job["id"]) == 1
    assert ended["charged"] is None
    assert "may have charged" in ended["explain"]


def test_the_policy_resubmit_buys_once_more_and_shows_the_duplicate(here: Installation) -> None:
    """The caller's say-so: a second attempt with its own track_id; the first one's late callback is duplicate spend."""
    job = here.post("a tide [[accept-then-drop]] [[late=8]]", on_unknown="resubmit")
    ended = here.reaches(job["id"], "succeeded", seconds=40)
    assert taken(here, job["id"]) == 2
    assert [each["number"] for each in ended["attempts"]] == [1, 2]
    shown = until(
        lambda: (now := here.job(job["id"])) and [a["status"] for a in now["attempts"]].count("duplicate") and now,
        what="duplicate shown",
    )
    assert sorted(each["status"] for each in shown["attempts"]) == ["duplicate", "succeeded"]


def test_a_result_that_comes_after_the_deadline_is_adopted(here: Installation) -> None:
    """Expired becomes succeeded, marked late."""
    job = here.post("an evening [[accept-then-drop]] [[late=6]]", deadline_seconds=3)
    here.reaches(job["id"], "expired")
    late = here.reaches(job["id"], "succeeded")
    assert late["late"] is True
    assert taken(here, job["id"]) == 1


def test_redis_killed_under_load_loses_nothing_accepted(here: Installation) -> None:
    """kill -9 of Redis, restart: whatever was answered 202 is stored in the end, each bought once."""
    ids = [here.post(f"a storm {n}")["id"] for n in range(10)]
    here.redis.kill()
    answer = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "while away"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    time.sleep(1)
    here.redis.start()
    jobs = [here.reaches(each, "succeeded", seconds=60) for each in ids]
    assert [taken(here, job["id"]) for job in jobs] == [1] * 10


def test_a_hanging_redis_is_503_within_two_seconds_and_then_goes_on(here: Installation) -> None:
    """SIGSTOP: the API answers, the workers come back by themselves."""
    job = here.post("a calm [[delay=2]]")
    assert here.redis.pid
    os.kill(here.redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "p"})
        assert (answer.status_code, time.monotonic() - began < 2) == (503, True)
    finally:
        os.kill(here.redis.pid, signal.SIGCONT)
    assert taken(here, here.reaches(job["id"], "succeeded", seconds=40)["id"]) == 1


def test_emptied_celery_queues_lose_nothing(here: Installation) -> None:
    """The messages are wake-ups; the due times bring them back."""
    here.stop("worker")
    ids = [here.post(f"a wave {n}")["id"] for n in range(5)]
    with Redis.from_url(here.redis.url) as redis:
        for key in redis.keys(CELERY("*")):
            redis.delete(key)
    here.start("worker")
    jobs = [here.reaches(each, "succeeded", seconds=40) for each in ids]
    assert [taken(here, job["id"]) for job in jobs] == [1] * 5


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_sent(here: Installation) -> None:
    """SIGTERM drains: the answers in the air are recorded, exit code 0, no process is left."""
    ids = [here.post(f"a port {n} [[answer-delay=2]]")["id"] for n in range(3)]
    until(lambda: all(taken(here, each) for each in ids), what="all on the bill")
    pid = here.processes["worker"].pid
    family = children_of(pid)
    assert here.stop("worker") == 0
    assert not [each for each in family if _runs(each)]
    assert all(here.job(each)["status"] in ("processing", "storing", "succeeded") for each in ids)
    here.start("worker")
    for each in ids:
        here.reaches(each, "succeeded", seconds=40)


def test_a_stopped_worker_that_wakes_up_late_writes_nothing_over_what_others_did(here: Installation) -> None:
    """SIGSTOP past its lease: another worker goes on, and the sleeper's stale step is refused."""
    job = here.post("a doze [[answer-delay=1]]")
    until(lambda: taken(here, job["id"]), what="on the bill")
    family = [here.processes["worker"].pid, *children_of(here.processes["worker"].pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    here.start("worker", name="second")
    try:
        ended = here.reaches(job["id"], "succeeded", seconds=40)
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    after = here.job(job["id"])
    assert (after["status"], after["images"][0]["sha256"]) == ("succeeded", ended["images"][0]["sha256"])
    assert taken(here, job["id"]) == 1


def test_an_api_killed_under_load_leaves_no_half_accepted_job(here: Installation) -> None:
    """What was answered 202 ends; the same Idempotency-Key after the crash makes no second job."""
    body = {"model_id": "m", "prompt": "a dusk", "width": 64, "height": 64}
    accepted = here.client.post("/v1/jobs", json=body, headers={"idempotency-key": "once"}).json()["id"]
    here.kill("api")
    with pytest.raises(httpx.HTTPError):
        here.client.get("/healthz")
    here.start("api")
    until(here.ready, what="ready again")
    again = here.client.post("/v1/jobs", json=body, headers={"idempotency-key": "once"}).json()["id"]
    assert again == accepted
    assert taken(here, here.reaches(accepted, "succeeded")["id"]) == 1


def test_an_upstream_that_is_away_costs_nothing_but_time(here: Installation) -> None:
    """Connection refused is proof that nothing was taken: tried again, with pauses, until it is back."""
    here.kill("worker.upstream")
    job = here.post("a fog")
    # as long as the answer to a try is open, nobody knows
    until(lambda: (seen := here.job(job["id"]))["attempts"] and seen["charged"] is False, what="a try that was refused")
    here.start("worker.upstream")
    assert taken(here, here.reaches(job["id"], "succeeded", seconds=40)["id"]) == 1


def test_a_full_disk_keeps_the_job_in_storing_until_there_is_room(here: Installation) -> None:
    """The folder cannot be written: the image is fetched again once it can."""
    here.reaches(here.post("a first image")["id"], "succeeded")
    blocker = here.folder / "images" / "acme"
    kept = blocker.rename(here.folder / "kept")
    blocker.write_text("a file where the folder should be")
    job = here.post("a lamp")
    until(lambda: here.job(job["id"])["status"] == "storing", what="storing")
    time.sleep(1)
    assert here.job(job["id"])["status"] == "storing"
    blocker.unlink()
    kept.rename(blocker)
    assert taken(here, here.reaches(job["id"], "succeeded", seconds=40)["id"]) == 1


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie, on Linux and macOS."""
    out = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return out.strip() != "" and not out.startswith("Z")
