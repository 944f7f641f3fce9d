"""kill -9 at every n-th write to a socket around the POST: bought at most once, whatever half of it was sent.

Setup: our real processes, with a tracer on the one that submits. Timeline: a job comes, the n-th write kills the
worker, its parent starts another. Proves: a crash there costs time, or at most the job's deadline.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from api.cli.stack.alive import ROLES
from tests.support.processes import Installation, children_of, until

WRITES = range(1, 13, 2)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all writes."""
    folder = tmp_path_factory.mktemp("installation")
    settings = {"upstream_timeout_seconds": "2", "upstream_connect_timeout_seconds": "1", "unknown_wait_seconds": "20"}
    with Installation(folder, **settings) as installation:
        yield installation


def _can_trace() -> bool:
    """Installed, and allowed to."""
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-qq", "-o", "/dev/null", "true"]).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="the injector is not installed, or may not trace")
@pytest.mark.parametrize("nth", WRITES)
def test_a_kill_at_every_nth_write_around_the_post_buys_at_most_once(here: Installation, nth: int) -> None:
    """Before the intent, within it, between it and the POST, within the POST, after it."""
    _fresh_worker(here)
    calls = "sendto,sendmsg,write,writev"
    submitter = until(lambda: _submitter(here), what="a submitting worker")  # /readyz may be a second old
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


def _submitter(here: Installation) -> int | None:
    for pid in children_of(here.processes["worker"].pid):
        command = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
        if "-m worker submit" in command:
            return pid
    return None
