"""Does a long queue cost anything? 100,000 jobs waiting from 50 tenants against an empty queue, in one run.

`make bench-backlog` (WAITING=100000 TENANTS=50 ROUNDS=3). Two whole installations side by side, one with the backlog,
both with an upstream that takes one job at a time; each round measures one and then the other, so that a slow machine
slows both: read the ratios. `MILLION=1` adds a million waiting jobs on the scripts alone, with what they weigh.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.broker import KEY_PREFIX
from tests.support.processes import KEY, Installation, until
from tests.support.queue import ROOM, answered, order
from worker.app import app
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.messages import message_template
from worker.store.queue import UpstreamLimit

WAITING, TENANTS = int(os.environ.get("WAITING", "100000")), int(os.environ.get("TENANTS", "50"))
ROUNDS, RELEASES = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("RELEASES", "200"))
CONNECTIONS, SECONDS = 32, 3
BATCH = 1000
BODY = {"model_id": "m", "prompt": "a quiet harbour at dawn", "width": 64, "height": 64}
HOLDER = "nobody"
"""Holds the upstream's only place while accepts are measured: the queue is full, and nothing else is going on."""


class Side:
    """One installation, and what was measured on it."""

    def __init__(self, here: Installation) -> None:
        self.here = here
        self.redis = Redis.from_url(here.redis.url)
        self.accepts: list[dict[str, float]] = []
        self.releases: list[float] = []
        self.served: list[str] = []

    def hold(self) -> None:
        """Takes the place, once whatever had it is done."""
        (key,) = self.redis.smembers("upstreams")
        self.redis.set("paused", "bench")
        until(lambda: self.redis.zcard(f"places:{key.decode()}") == 0, what="a free place")
        self.redis.zadd(f"places:{key.decode()}", {HOLDER: 9e15})
        self.redis.delete("paused")

    def let_go(self) -> None:
        (key,) = self.redis.smembers("upstreams")
        self.redis.zrem(f"places:{key.decode()}", HOLDER)

    def measure_accepts(self) -> None:
        """One run of the load generator in a process of its own, after a second of warm-up."""
        with tempfile.NamedTemporaryFile() as body:
            Path(body.name).write_text(json.dumps(BODY))
            header = f"authorization: Bearer {KEY}"
            command = [
                sys.executable,
                "-m",
                "tests.benchmarks.load",
                str(self.here.api_port),
                "/v1/jobs",
                body.name,
                header,
            ]
            for seconds in ("1", str(SECONDS)):
                done = subprocess.run([*command, str(CONNECTIONS), seconds], check=True, capture_output=True, text=True)
        self.accepts.append(json.loads(done.stdout))

    def measure_releases(self) -> None:
        """How long from a freed place to the next POST, by Redis' clock and the sandbox's bill."""
        httpx.post(f"{self.sandbox}/sandbox/reset", timeout=20).raise_for_status()
        self.let_go()
        until(lambda: len(self.bill()) > RELEASES, 300, "the releases")
        self.hold()
        rows = self.bill()[: RELEASES + 1]
        jobs = [self.redis.hmget(f"job:{row['track_id'].partition('-')[0]}", "timeline", "tenant") for row in rows]
        freed = [_freed_at(timeline) for timeline, _ in jobs]
        posted = [datetime.fromisoformat(row["at"]).timestamp() * 1000 for row in rows]
        self.releases += [max(0.0, after - before) for before, after in zip(freed, posted[1:], strict=False)]
        self.served += [tenant.decode() for _, tenant in jobs]

    def bill(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = httpx.get(f"{self.sandbox}/bill", timeout=20).json()["posts"]
        return rows

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.here.sandbox_port}"


def main() -> None:
    """Fills one side, measures both in turn, prints the table."""
    settings = {"upstream_max_in_flight": "1", "sandbox_seconds": "0.02", "max_waiting_jobs": "100000000"}
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        first, second = (stack.enter_context(Installation(folder, **settings)) for folder in folders)
        empty, full = Side(first), Side(second)
        for side in (empty, full):
            side.hold()
        small = asyncio.run(fill(first.redis.url, BATCH, 1))
        large = asyncio.run(fill(second.redis.url, WAITING, TENANTS))
        for _ in range(ROUNDS):
            for side in (empty, full):
                _empty_queue(side if side is empty else None)
                side.measure_accepts()
            for side in (empty, full):
                if side is empty:
                    _empty_queue(side)
                    asyncio.run(fill(first.redis.url, RELEASES + 20, 1))
                side.measure_releases()
        print_table(empty, full, small, large)
    if os.environ.get("MILLION"):
        asyncio.run(million())


def _empty_queue(side: Side | None) -> None:
    if side is not None:
        side.redis.flushall()
        until(lambda: side.redis.scard("upstreams"), what="the upstream key")
        side.hold()


async def fill(url: str, jobs: int, tenants: int) -> float:
    """Accepts so many jobs straight into the store, in turn by tenant. Returns Redis' bytes a job."""
    with Redis.from_url(url) as redis:
        before = redis.info("memory")["used_memory"]

        async def batches(store: JobStore) -> None:
            size = max(1, min(BATCH, jobs // tenants))
            for at in range(0, jobs, size):
                tenant = f"tenant-{at // size % tenants}"
                await store.accept([order(store, tenant, request=BODY) for _ in range(min(size, jobs - at))], ROOM)

        await _with_store(url, batches)
        return float((redis.info("memory")["used_memory"] - before) / jobs)


async def million() -> None:
    """A million waiting jobs of a thousand tenants on the scripts alone: what accept and release cost, and weigh."""
    with tempfile.TemporaryDirectory() as folder:
        redis = EmbeddedRedis(Path(folder), free_port())
        redis.start()
        print("\n| waiting | accept of one, ms | release, ms | Redis bytes a job |\n|---|---|---|---|")
        waiting = 0
        for more in (1000, 99_000, 900_000):
            each = await fill(redis.url, more, 1000)
            waiting += more
            await _with_store(redis.url, lambda store, w=waiting, b=each: _probe(store, redis.url, w, b))  # type: ignore[misc]
        redis.stop()


async def _probe(store: JobStore, url: str, waiting: int, weight: float) -> None:
    await store.queue.configure([UpstreamLimit("key-1", 1)])
    accepts, releases = [], []
    with Redis.from_url(url) as redis:
        for _ in range(200):
            began = time.perf_counter()
            await store.accept([order(store, "tenant-7", request=BODY)], ROOM)
            accepts.append(time.perf_counter() - began)
            placed = redis.zrange("places:key-1", 0, 0)[0].decode()
            began = time.perf_counter()
            await answered(store, placed)
            releases.append(time.perf_counter() - began)
        total = redis.info("memory")["used_memory_human"]
    middle = [statistics.median(each) * 1000 for each in (accepts, releases)]
    print(f"| {waiting:,} | {middle[0]:.2f} | {middle[1]:.2f} | {weight:.0f} ({total} in all) |")


async def _with_store(url: str, act: Callable[[JobStore], Awaitable[None]]) -> None:
    lane = Lane(connect(url, 30), 30)
    try:
        await act(JobStore(lane, message_template(app), KEY_PREFIX, 60_000))
    finally:
        await lane.aclose()


def print_table(empty: Side, full: Side, small: float, large: float) -> None:
    """Medians over the rounds for accepts, quantiles over all releases, and the ratio of the two sides."""
    rows = [
        ("accepted/s", *(statistics.median(each["per_second"] for each in side.accepts) for side in (empty, full))),
        ("accept p50 ms", *(statistics.median(each["p50_ms"] for each in side.accepts) for side in (empty, full))),
        ("accept p99 ms", *(statistics.median(each["p99_ms"] for each in side.accepts) for side in (empty, full))),
        ("release p50 ms", *(_quantile(side.releases, 0.5) for side in (empty, full))),
        ("release p99 ms", *(_quantile(side.releases, 0.99) for side in (empty, full))),
        ("Redis bytes a job", small, large),
    ]
    print(f"\n{WAITING:,} waiting of {TENANTS} tenants against an empty queue; {ROUNDS} rounds of {SECONDS} s with "
          f"{CONNECTIONS} connections and {RELEASES} releases each\n")  # fmt: skip
    print("| | empty | with the backlog | ratio |\n|---|---|---|---|")
    for name, before, after in rows:
        print(f"| {name} | {before:,.1f} | {after:,.1f} | {after / before:.2f}× |")
    counts = list(Counter(each for each in full.served if each.startswith("tenant-")).values())
    index = sum(counts) ** 2 / (TENANTS * sum(each**2 for each in counts))
    print(f"\nfairness between the {TENANTS} tenants over {len(full.served)} releases (Jain, 1 is equal): {index:.3f}")


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _freed_at(timeline: bytes) -> float:
    rows = [json.loads(line) for line in timeline.splitlines()]
    return float(next(row[0] for row in rows if row[1] == "storing"))


if __name__ == "__main__":
    main()
