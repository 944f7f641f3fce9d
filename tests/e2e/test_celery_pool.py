"""Celery over our own pool: what waits costs no thread, what was begun is ended, what happened is told.

Setup: our real processes; Celery's own client watches them. Timeline: POSTs are held by the sandbox; then the worker is
told to stop, or Redis is restarted. Proves: SIGTERM records what was paid for, and Flower sees every task end.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import RedisError

from config.broker import QUEUES, celery_options
from tests.support.processes import Installation, children_of, until
from worker.store.keys import CELERY

HELD, FEW_THREADS = 500, 50


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """An upstream that takes anything."""
    with Installation(tmp_path, upstream_max_in_flight="5000", lease_seconds="30") as installation:
        yield installation


@contextmanager
def watching(here: Installation) -> Iterator[Counter[tuple[str, str]]]:
    """What Flower would hear, counted by task and kind of event."""
    heard: Counter[tuple[str, str]] = Counter()
    stop = threading.Event()
    thread = threading.Thread(target=_listen, args=(here.redis.url, heard, stop))
    thread.start()
    try:
        until(lambda: heard["", "worker-heartbeat"], what="a heartbeat")
        yield heard
    finally:
        stop.set()
        thread.join()


def _listen(url: str, heard: Counter[tuple[str, str]], stop: threading.Event) -> None:
    def hear(event: dict[str, Any]) -> None:
        # a message's id is the job's, the task and a time; one sent by hand has a UUID
        heard["".join(event.get("uuid", "").split("-")[1:2]), event["type"]] += 1

    while not stop.is_set():
        try:
            with celery_client(url).connection() as connection:
                receiver = celery_client(url).events.Receiver(connection, handlers={"*": hear})
                while not stop.is_set():
                    try:
                        receiver.capture(limit=None, timeout=0.5, wakeup=False)
                    except TimeoutError:
                        continue
        except (OSError, RedisError):
            stop.wait(0.1)


def celery_client(url: str) -> Celery:
    """Celery as an operator runs it."""
    client = Celery("operator", set_as_current=False)
    client.conf.update(celery_options(url))
    return client


def post(here: Installation, prompt: str, count: int) -> list[str]:
    """So many of the same job; the ids."""
    body = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64}
    ids: list[str] = []
    while len(ids) < count:
        answer = here.client.post("/v1/jobs/batch", json=[body] * min(100, count - len(ids)))
        assert answer.status_code == 202, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
    return ids


def taken(here: Installation) -> int:
    """POSTs that the sandbox has taken, answered or not."""
    return int(httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()["taken"])


def submitting(here: Installation) -> int:
    """Jobs whose POST is under way."""
    lines = here.client.get("/metrics").text.splitlines()
    return next(int(float(line.split()[-1])) for line in lines if line.startswith('darkroom_jobs{status="submitting"}'))


def process_of(here: Installation, role: str) -> int:
    """The process of that role."""
    for pid in children_of(here.processes["worker"].pid):
        if f"-m\0worker\0{role}" in Path(f"/proc/{pid}/cmdline").read_text():
            return pid
    raise AssertionError(f"no {role} process")


def test_five_hundred_posts_wait_without_a_thread_each(here: Installation) -> None:
    """All under way at once; then all are recorded."""
    ids = post(here, "a wall [[answer-delay=12]] [[no-callback]] [[delay=600]]", HELD)
    until(lambda: submitting(here) == HELD and taken(here) == HELD, 60, "all POSTs under way at once")
    assert len(list(Path(f"/proc/{process_of(here, 'submit')}/task").iterdir())) < FEW_THREADS
    for each in ids[::50]:
        here.reaches(each, "processing")


def test_sigterm_records_everything_that_is_under_way(here: Installation) -> None:
    """200 POSTs: their answers are waited for, exit code 0, nothing is left unknown, no message was swallowed."""
    ids = post(here, "a dam [[answer-delay=4]] [[no-callback]] [[delay=600]]", 200)
    until(lambda: taken(here) == len(ids), what="all POSTs under way")
    with watching(here) as heard:
        assert here.stop("worker") == 0
        until(lambda: heard["submit", "task-succeeded"] == len(ids), what="Flower's last news")
    assert Counter(here.job(each)["status"] for each in ids) == {"processing": len(ids)}
    with Redis.from_url(here.redis.url) as redis:
        assert [queue for queue in QUEUES if redis.llen(CELERY(queue))] == []


def test_every_task_is_seen_to_start_and_to_end(here: Installation) -> None:
    """Also those that were under way while Redis was restarted."""
    with watching(here) as heard:
        ids = post(here, "a bridge [[answer-delay=5]]", 30)
        until(lambda: heard["submit", "task-started"] == len(ids), what="all started")
        here.redis.stop()
        here.redis.start()
        for each in ids:
            here.reaches(each, "succeeded", seconds=90)
        until(lambda: heard["submit", "task-succeeded"] == len(ids), what="all ended")
        assert heard["submit", "task-received"] == len(ids)
        assert not any(kind == "task-failed" for _, kind in heard)


def test_celery_shows_what_runs(here: Installation) -> None:
    """`celery inspect` and `celery call`, as with any pool."""
    client = celery_client(here.redis.url)
    ids = post(here, "a tower [[answer-delay=6]]", 3)
    until(lambda: taken(here) == 3, what="three under way")
    inspect = client.control.inspect(timeout=2)
    name = next(each for each in inspect.ping() or {} if each.startswith("submit@"))
    active = (inspect.active() or {})[name]
    assert {task["args"][0] for task in active} == set(ids)
    assert all(task["name"] == "darkroom.submit" and task["acknowledged"] for task in active)
    pool = (inspect.stats() or {})[name]["pool"]
    assert (pool["implementation"], pool["running"]) == ("worker.running.celery_pool:CoroutinePool", 3)
    with watching(here) as heard:
        client.send_task("darkroom.submit", args=(ids[0],), task_id="hand-right", ignore_result=True)
        client.send_task("darkroom.submit", args=("one", "too many"), task_id="hand-wrong", ignore_result=True)
        until(lambda: heard["right", "task-succeeded"], what="a task called by hand")
        with Redis.from_url(here.redis.url) as redis:
            until(lambda: redis.hget("parked:counts", "submit arguments") == b"1", what="one called wrongly is parked")
