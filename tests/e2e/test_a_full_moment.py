"""Somebody else fills the upstream's queue for two seconds: afterwards the work goes on as before, within seconds."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from tests.support.processes import Installation, until

PLACES, JOBS = 16, 400


def test_a_queue_that_is_full_for_two_seconds_costs_seconds(tmp_path: Path) -> None:
    """The limit that was learned is cut once; a quarter of an hour with one job at a time was the price before."""
    with Installation(tmp_path, sandbox_queue_limit=str(PLACES), sandbox_seconds="0.2") as here:
        with Redis.from_url(here.redis.url) as redis:  # as if it had been learned all morning
            (name,) = redis.smembers("upstreams")
            redis.hset(f"upstream:{name.decode()}", "limit", PLACES)
        body = {"model_id": "m", "prompt": "a cat", "width": 64, "height": 64}
        assert here.client.post("/v1/jobs/batch", json=[body] * JOBS).status_code == 202
        until(lambda: bill(here)["taken"] > 40, what="work")
        others = fill(here)
        assert others
        time.sleep(2)
        until(lambda: others_done(here, others), what="the end of the others' work")
        before, since = ended(here), time.monotonic()
        until(lambda: ended(here) - before >= 60, 20, "the work going on")
        (key,) = json.loads(here.run("flow", "--json").stdout)["keys"]
        print(f"60 jobs {time.monotonic() - since:.1f} s after it; limit {key['limit']} of {PLACES}")
    assert key["limit"] >= PLACES // 2, "the limit fell for one moment"


def bill(here: Installation) -> dict[str, Any]:
    shown: dict[str, Any] = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()
    return shown


def fill(here: Installation) -> int:
    """Takes every place that comes free, for two seconds, with work of somebody else on the same key."""
    url = f"http://127.0.0.1:{here.sandbox_port}/api/v1/enterprise/text2img"
    body = {"key": "sandbox", "model_id": "m", "prompt": "others [[delay=2]]", "width": "64", "height": "64"}
    taken = 0
    with httpx.Client(timeout=20) as client:
        stop = time.monotonic() + 10
        while taken < PLACES and time.monotonic() < stop:
            taken += client.post(url, json=body).json().get("status") == "processing"
    return taken


def others_done(here: Installation, others: int) -> bool:
    posts = [row for row in bill(here)["posts"] if row["track_id"] is None and row["taken"]]
    return len(posts) >= others


def ended(here: Installation) -> int:
    lines = here.client.get("/metrics").text.splitlines()
    (count,) = (line for line in lines if line.startswith('darkroom_jobs{status="succeeded"}'))
    return int(float(count.split()[-1]))
