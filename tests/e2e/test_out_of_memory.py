"""Redis full to the brim under our real processes: what was accepted goes on to its end, and removing makes room again.

Another client keeps it full, past the door, and nobody changes Redis' configuration.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.broker import KEY_PREFIX
from tests.support.processes import Installation, until
from tests.support.queue import ROOM, order
from worker.app import app
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect
from worker.store.messages import message_template

BODY = {"model_id": "m", "prompt": "a morning", "width": 64, "height": 64}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """One installation with a small Redis."""
    with Installation(tmp_path, maxmemory="8mb") as installation:
        yield installation


class Filler:
    """Accepts for a tenant that is paused, as a client that nobody refuses early, and takes whatever room there is."""

    def __init__(self, url: str) -> None:
        self._url, self.refusals, self._ending = url, 0, False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._fill()), daemon=True)

    def __enter__(self) -> "Filler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()

    async def _fill(self) -> None:
        lane, size = Lane(connect(self._url, 5), 5), 4000
        store = JobStore(lane, message_template(app), KEY_PREFIX, 60_000)
        await lane.write("HSET", "tenant:filler", "paused", "by hand")
        while not self._ending:
            try:
                batch = [order(store, "filler", request={"prompt": "x" * size}) for _ in range(20 if size > 1 else 1)]
                await store.accept(batch, ROOM)
            except RedisUnavailable:
                self.refusals, size = self.refusals + 1, max(1, size // 8)
                await asyncio.sleep(0.005)
        await lane.aclose()


def test_what_was_accepted_ends_and_removing_makes_room(here: Installation) -> None:
    """Answers, callbacks, images, ends, a worker that starts, removing: all of it while Redis is full."""
    finished = here.reaches(here.post("a quay")["id"], "succeeded")
    slow = [here.post(f"a slow pier {number} [[delay=8]]") for number in range(3)]
    with Filler(here.redis.url) as filler:
        until(lambda: filler.refusals > 100, what="full")
        large = BODY | {"prompt": "x" * 4000}
        refused: httpx.Response = until(
            lambda: (answer := here.client.post("/v1/jobs", json=large)).status_code != 202 and answer, what="refused"
        )
        assert (refused.status_code, refused.json()["code"]) == (507, "insufficient_storage")
        assert {here.job(job["id"])["status"] for job in slow} <= {"submitting", "processing"}, "their end is to come"
        here.kill("worker")
        here.start("worker")
        for job in slow:
            here.reaches(job["id"], "succeeded", seconds=60)
        assert here.client.delete(f"/v1/jobs/{finished['id']}").status_code == 204
        refusals = filler.refusals
        until(lambda: filler.refusals > refusals, what="still full")
    for verb in ("cancel", "purge"):
        done = here.run("bulk", verb, "--tenant", "filler", "--yes")
        assert done.returncode == 0, done.stderr
    accepted: httpx.Response = until(
        lambda: (answer := here.client.post("/v1/jobs", json=BODY)).status_code == 202 and answer, what="room again"
    )
    here.reaches(accepted.json()["id"], "succeeded", seconds=40)
