"""One tenant fills what it may of Redis with jobs that cost it nothing: it is refused, its neighbour goes on."""

import time
from pathlib import Path

import httpx

from tests.support.neighbours import Waits
from tests.support.processes import KEY, Installation, until

MOST_BYTES = 120_000
FAT = {"model_id": "m", "prompt": "x" * 9900 + " [[reject=not allowed]]", "width": 64, "height": 64}
SMALL = {"model_id": "m", "prompt": "a cat", "width": 64, "height": 64}
NEIGHBOUR = {"authorization": f"Bearer other-{KEY}"}


def neighbour_waits(here: Installation) -> list[float]:
    """Seconds from accept to end of each of a few jobs of the other tenant."""
    waits = []
    for _ in range(4):
        began = time.monotonic()
        answer = here.client.post("/v1/jobs", json=SMALL, headers=NEIGHBOUR | {"prefer": "wait=20"})
        assert answer.json()["status"] == "succeeded", answer.text
        waits.append(time.monotonic() - began)
    return waits


def used(here: Installation) -> int:
    """Bytes of the loud tenant, as it sees them itself."""
    return int(here.client.get("/v1/usage").json()["memory"]["bytes"])


def test_jobs_that_cost_nothing_count_and_deleting_them_makes_room(tmp_path: Path) -> None:
    """Refused by the upstream at no cost, kept for the whole retention: without a bound they would fill Redis."""
    with Installation(tmp_path, tenant_max_bytes=str(MOST_BYTES)) as here:
        calm = neighbour_waits(here)
        ids, refused = [], httpx.Response(202)
        while refused.status_code == 202:
            refused = here.client.post("/v1/jobs", json=FAT)
            ids += [refused.json()["id"]] if refused.status_code == 202 else []
        assert (refused.status_code, refused.json()["code"]) == (429, "tenant_memory_full")
        Waits(calm, neighbour_waits(here)).check()
        for each in ids:
            job = here.reaches(each, "failed")
            assert job["charged"] is False
        assert here.client.get("/v1/usage").json()["day"]["images"]["spent"] == 0
        assert 0.85 * MOST_BYTES < used(here) < 1.15 * MOST_BYTES
        assert here.client.post("/v1/jobs", json=FAT).status_code == 429
        assert here.run("audit").returncode == 0

        for each in ids[1:]:
            assert here.client.delete(f"/v1/jobs/{each}").status_code == 204
        again = here.client.post("/v1/jobs", json=SMALL)
        assert again.status_code == 202
        here.reaches(again.json()["id"], "succeeded")
        for each in (ids[0], again.json()["id"]):
            assert here.client.delete(f"/v1/jobs/{each}").status_code == 204
        until(lambda: used(here) == 0, what="a counter of nothing")
