"""kill -9 at every recovery point, and at every n-th write to a socket around the POST: the same end each time.

Setup: our real processes, one of them told to die at a point. Timeline: a job reaches the point, the process is gone,
a clean one takes over. Proves: accepted is durable, bought at most once, told at least once with one id.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api.cli.alive import ROLES
from tests.support.processes import Installation, children_of, until
from tests.support.receiver import Receiver
from worker.crash_points import Point

AT_THE_DOOR = {Point.ACCEPT_WRITTEN, Point.CALLBACK_KEPT}
WRITES = range(1, 13, 2)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the whole matrix."""
    folder = tmp_path_factory.mktemp("installation")
    settings = {"upstream_timeout_seconds": "2", "upstream_connect_timeout_seconds": "1", "unknown_wait_seconds": "20"}
    with Installation(folder, **settings) as installation:
        yield installation


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A caller's receiver."""
    with Receiver() as receiving:
        yield receiving


@pytest.mark.parametrize("point", list(Point))
def test_a_crash_at_every_recovery_point_ends_the_same(here: Installation, receiver: Receiver, point: Point) -> None:
    """Bought once and told; or, where nobody can know whether it was sent, never bought."""
    module = "api" if point in AT_THE_DOOR else "worker"
    here.kill(module)
    doomed = here.start(module, crash_at=point.value)
    until(lambda: (facts := here.ready()) and facts["workers"] >= 1, what="ready to die")
    deaths = here.log("worker").count("worker.died")
    body = {"model_id": "m", "prompt": f"a cliff at {point}", "width": 64, "height": 64, "webhook": receiver.url}
    # nothing was sent, but nobody can know: held until the deadline, and never bought
    end = "expired" if point is Point.INTENT_WRITTEN else "succeeded"
    body["deadline_seconds"] = 20 if end == "expired" else 120
    headers = {"idempotency-key": point.value}
    try:
        here.client.post("/v1/jobs", json=body, headers=headers)
    except httpx.HTTPError:
        assert point is Point.ACCEPT_WRITTEN
    died = lambda: doomed.poll() is not None or here.log("worker").count("worker.died") > deaths  # noqa: E731
    until(died, what="the process died")
    here.kill(module)
    here.start(module)
    until(here.ready, what="ready again")
    job_id = here.client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    job = here.reaches(job_id, "succeeded", "expired", seconds=60)
    assert job["status"] == end
    assert [row["taken"] for row in here.bill(job_id)].count(True) == (end == "succeeded")
    assert len({each["track_id"] for each in job["attempts"]}) == len(job["attempts"])
    told = until(lambda: receiver.told[job_id], what="told")
    assert {each["status"] for each in told} == {end}
    assert len({head["webhook-id"] for head, _ in receiver.requests}) == 1


def test_every_recovery_point_is_in_the_code() -> None:
    """A point that nothing reaches proves nothing."""
    code = "".join(path.read_text() for folder in ("worker", "api") for path in Path(folder).rglob("*.py"))
    assert [point.name for point in Point if f"reached(Point.{point.name})" not in code] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="the injector is not installed")
@pytest.mark.parametrize("nth", WRITES)
def test_a_kill_at_every_nth_write_around_the_post_buys_at_most_once(here: Installation, nth: int) -> None:
    """Before the intent, within it, between it and the POST, within the POST, after it."""
    _fresh_worker(here)
    calls = "sendto,sendmsg,write,writev"
    submitter = _submitter(here)
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(submitter), "-e", f"trace={calls}"]
    injector = subprocess.Popen([*command, "-e", f"inject={calls}:signal=SIGKILL:when={nth}"])
    try:
        until(lambda: _traced_or_gone(submitter), what="attached")
        job = here.post(f"a reef {nth}", deadline_seconds=25)
        ended = here.reaches(job["id"], "succeeded", "expired", seconds=60)
    finally:
        injector.terminate()  # lets go of the worker; a killed tracer would leave it stopped
        injector.wait()
    bought = [row["taken"] for row in here.bill(job["id"])].count(True)
    assert bought <= 1
    assert (ended["status"] == "succeeded") == (bought == 1)


def _fresh_worker(here: Installation) -> None:
    here.kill("worker")
    with Redis.from_url(here.redis.url) as redis:
        redis.delete("workers")  # the dead one's word of being alive
    here.start("worker")
    until(lambda: (facts := here.ready()) and facts["workers"] >= ROLES, what="ready")


def _traced_or_gone(pid: int) -> bool:
    """Gone as well: an early n kills it with the first write that its clock makes."""
    try:
        return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def _submitter(here: Installation) -> int:
    for pid in children_of(here.processes["worker"].pid):
        command = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
        if "-m worker submit" in command:
            return pid
    raise AssertionError("there is no submitting worker")
