"""The upstream's limit over all workers, with learning on: a sandbox that takes five at once, four workers and tenants.

`FLOW_JOBS=2000` runs the whole proof; the suite runs a smaller one of the same kind.
"""

import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import KEY, Installation, until

JOBS = int(os.environ.get("FLOW_JOBS", "240"))
LIMIT, WORKERS = 5, 4
TENANTS = {"big": 7, "one": 1, "two": 1, "three": 1}
"""Who posts how many tenths of the jobs; the big one posts all of its own first."""
BATCH = 100
SECONDS = 60 + JOBS * 0.2


def test_a_limit_is_never_passed_hardly_tried_and_shared(tmp_path: Path) -> None:
    """Never more than five held, fewer than ten refusals, every job ends, no tenant waits more than its share."""
    keys = ",".join(f"{tenant}:{tenant}-{KEY}" for tenant in TENANTS)
    settings = {"sandbox_queue_limit": str(LIMIT), "sandbox_seconds": "0.05", "api_keys": f"acme:{KEY},{keys}"}
    with Installation(tmp_path, **settings) as here:
        for number in range(1, WORKERS):
            here.start("worker", name=f"worker-{number}")
        began, owners, came_at = time.monotonic(), {}, {}
        for tenant, tenths in TENANTS.items():
            owners |= dict.fromkeys(_post(here, tenant, tenths), tenant)
            came_at[tenant] = _bill(here)["taken"]
        until(lambda: _ended(here) >= len(owners), SECONDS, "every end")
        bill = _bill(here)
        statuses = _statuses(here)
        print(f"{len(owners)} jobs in {time.monotonic() - began:.1f} s, most held {bill['max_in_flight']}, "
              f"429s {bill['refused_429']}, {statuses}")  # fmt: skip
    assert statuses == {"succeeded": len(owners)}
    assert bill["taken"] == len(owners), "something was bought twice"
    assert bill["max_in_flight"] <= LIMIT
    assert bill["refused_429"] < 10
    _check_shares([owners[_job_of(row)] for row in bill["posts"] if row["taken"]], came_at)


def _post(here: Installation, tenant: str, tenths: int) -> list[str]:
    headers = {"authorization": f"Bearer {tenant}-{KEY}"}
    body = {"model_id": "m", "prompt": "a cat", "width": 64, "height": 64}
    ids: list[str] = []
    left = JOBS * tenths // 10
    while left:
        size = min(BATCH, left)
        answer = here.client.post("/v1/jobs/batch", json=[body] * size, headers=headers)
        assert answer.status_code == 202, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
        left -= size
    return ids


def _statuses(here: Installation) -> dict[str, int]:
    lines = here.client.get("/metrics").text.splitlines()
    counts = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines if line.startswith("darkroom_jobs{")}
    return {status: count for status, count in counts.items() if count}


def _ended(here: Installation) -> int:
    counts = _statuses(here)
    return sum(counts.get(status, 0) for status in ("succeeded", "failed", "expired", "cancelled"))


def _bill(here: Installation) -> dict[str, Any]:
    bill: dict[str, Any] = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()
    return bill


def _job_of(row: dict[str, Any]) -> str:
    return str(row["track_id"]).partition("-")[0]


def _check_shares(served: list[str], came_at: dict[str, int]) -> None:
    """A small tenant's jobs get every fourth turn at the latest from when they came, give or take those on the way."""
    slack = 2 * LIMIT + len(TENANTS)
    turns: defaultdict[str, list[int]] = defaultdict(list)
    for at, tenant in enumerate(served):
        turns[tenant].append(at)
    for tenant in ("one", "two", "three"):
        for number, at in enumerate(turns[tenant]):
            waited = at - came_at[tenant]
            assert waited <= number * len(TENANTS) + slack, f"job {number} of {tenant} waited for {waited} others"
    assert Counter(served)["big"] == JOBS * 7 // 10
