"""A worker process that stands still is noticed, ends itself and is started again; none is left behind.

Setup: our real processes. Timeline: the thread that takes messages is stopped while all others run on; Redis goes away
while a process starts, then it is told to stop, or its parent is killed. Proves: health checks see it, jobs go on,
every process is gone within seconds.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Installation, children_of, until
from tests.support.slow_wire import slow_wire
from tests.support.still_thread import main_thread_stopped


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("still"), stuck_seconds="5") as installation:
        yield installation


def process_of(here: Installation, role: str) -> int:
    """Its process id; 0 while there is none."""
    found = (pid for pid in children_of(here.processes["worker"].pid) if f"-m\0worker\0{role}" in command_of(pid))
    return next(found, 0)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_consumer_that_stands_still_is_noticed_and_started_again(here: Installation) -> None:
    """Its event loop lives and reports; but it takes nothing, so it is as good as dead."""
    before = process_of(here, "settle")
    here.run("alive", "worker")
    with main_thread_stopped(before):
        until(lambda: here.run("alive", "worker").returncode == 1, 8, "the health check fails")
        until(lambda: (facts := here.ready()) and facts["workers"] == 3, 5, "/readyz counts it no more")
        job = here.post("a still life")
    until(lambda: process_of(here, "settle") not in (0, before), what="another process")
    here.reaches(job["id"], "succeeded")
    until(lambda: here.run("alive", "worker").returncode == 0, what="all is well")
    assert "it takes no messages, although Redis answers" in here.log("worker")


def test_no_process_outlives_its_parent_whatever_it_waits_in(here: Installation) -> None:
    """Redis goes while Celery publishes its first event, which it tries for ever, looking at no signal meanwhile."""
    with slow_wire(here.redis.port) as wire:
        wire.lose_reply(b"worker-online", then_down=True)
        url = here.redis.url.replace(str(here.redis.port), str(wire.port))
        parent = here.start("worker", name="second", redis_url=url, stuck_seconds="3")
        until(lambda: "redis.away" in here.log("second"), what="Redis away")
        roles = children_of(parent.pid)
        parent.kill()
        until(lambda: not any(map(command_of, roles)), 10, "the end of all")
    assert "its parent process is gone" in here.log("second")
