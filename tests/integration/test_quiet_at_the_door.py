"""One tenant asks for all that a key allows; another one posts a job now and then, and must not notice."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest

from tests.support.door import KEY, QUIET_KEY, Door, running_door
from tests.support.neighbours import Waits

SECONDS = 3.0
CLIENTS = 6
FLOOR_SECONDS = 0.25
JOBS = 2000
BATCH = orjson.dumps([{"model_id": "m", "prompt": "a loud street", "metadata": {"n": n}} for n in range(1000)])

Ask = Callable[[httpx.Client], httpx.Response]


@pytest.fixture
def door(redis_url: str, tmp_path: Path) -> Iterator[Door]:
    with running_door(redis_url, tmp_path) as running:
        with loud(running) as client:
            for _ in range(JOBS // 1000):
                client.post("/v1/jobs/batch", content=BATCH).raise_for_status()
        yield running


def loud(door: Door) -> httpx.Client:
    address, headers = f"http://127.0.0.1:{door.port}", {"authorization": f"Bearer {KEY}"}
    return httpx.Client(base_url=address, headers=headers, timeout=60)


def neighbour(door: Door, ask: Ask) -> tuple[Waits, list[httpx.Response]]:
    """What the quiet one waited, and all that its neighbour was answered."""
    with door.asked(QUIET_KEY) as calm:
        time.sleep(2)
    until = time.monotonic() + SECONDS

    def again_and_again(_: int) -> list[httpx.Response]:
        answers = []
        with loud(door) as client:
            while time.monotonic() < until:
                answers.append(ask(client))
        return answers

    with door.asked(QUIET_KEY) as waited, ThreadPoolExecutor(CLIENTS) as pool:
        answers = [each for one in pool.map(again_and_again, range(CLIENTS)) for each in one]
    return Waits(calm, waited), answers


def test_lists_without_a_match(door: Door) -> None:
    """Each call looks at few jobs, and one tenant's calls at few a second: beyond that it is told to wait."""
    waits, answers = neighbour(door, lambda client: client.get("/v1/jobs?track_id=nothing&limit=1"))
    print(len(answers), {each.status_code for each in answers})
    waits.check(floor=FLOOR_SECONDS)
    assert {each.status_code for each in answers} <= {200, 429}


def test_batches(door: Door) -> None:
    waits, answers = neighbour(door, lambda client: client.post("/v1/jobs/batch", content=BATCH))
    print(len(answers), {each.status_code for each in answers})
    waits.check(floor=FLOOR_SECONDS)
    assert {each.status_code for each in answers} <= {202, 429}
