"""Submit throughput of 1, 2 and 4 worker containers on one Redis, without a limit and with one.

`python -m tests.benchmarks.bench_scale`. The upstream takes two seconds to answer a POST and a worker has ten places,
so what is measured is how the queue shares work out, and not how fast this machine is. Judged by the sandbox's bill:
when each POST came, and the most that it ever held. Takes about three minutes.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from api.cli.stack.alive import ROLES
from tests.support.processes import Installation, until

WORKERS = (1, 2, 4)
PLACES, ANSWER_SECONDS, WAVES = 10, 2.0, 8
LIMIT, LIMITED_JOBS, HELD_SECONDS = 5, 100, 0.3
MOST_SECONDS = 300.0


@dataclass(frozen=True)
class Result:
    """What the bill says of one run."""

    per_second: float
    most_held: int
    refused: int


def main() -> None:
    """Runs all of it and prints the tables."""
    free = {workers: unlimited(workers) for workers in WORKERS}
    bound = {workers: limited(workers) for workers in WORKERS}
    print(f"\nlimit lifted: {PLACES} places a worker, each POST answered after {ANSWER_SECONDS:g} s\n")
    print("| workers | POSTs/s | against one worker | of what its places allow |")
    print("|---|---|---|---|")
    for workers, seen in free.items():
        best = workers * PLACES / ANSWER_SECONDS
        ratio = seen.per_second / free[1].per_second
        print(f"| {workers} | {seen.per_second:.1f} | {ratio:.2f}× | {seen.per_second / best:.0%} |")
    print(f"\nlimit of {LIMIT}: each job held for {HELD_SECONDS:g} s, so at most {LIMIT / HELD_SECONDS:.1f}/s\n")
    print("| workers | POSTs/s | most held at once | refused with 429 |")
    print("|---|---|---|---|")
    for workers, seen in bound.items():
        print(f"| {workers} | {seen.per_second:.1f} | {seen.most_held} | {seen.refused} |")


def unlimited(workers: int) -> Result:
    """So many waves of POSTs that start and end hardly count."""
    prompt = f"a river [[answer-delay={ANSWER_SECONDS:g}]] [[delay={ANSWER_SECONDS:g}]]"
    with installation(workers, limit=10_000) as here:
        return measure(here, prompt, workers * PLACES * WAVES, workers * PLACES)


def limited(workers: int) -> Result:
    """The sandbox would take more: that it is not sent more is our doing."""
    with installation(workers, limit=LIMIT) as here:
        return measure(here, f"a lock [[delay={HELD_SECONDS:g}]]", LIMITED_JOBS, LIMIT)


@contextmanager
def installation(workers: int, limit: int) -> Iterator[Installation]:
    """Redis, sandbox, API and that many workers, on this machine."""
    settings = {"worker_concurrency": str(PLACES), "upstream_max_in_flight": str(limit), "sandbox_queue_limit": "0"}
    with (
        tempfile.TemporaryDirectory() as folder,
        Installation(Path(folder), **settings, lease_seconds="60") as here,
    ):
        for number in range(1, workers):
            here.start("worker", name=f"worker-{number}")
        until(lambda: (ready := here.ready()) and ready["workers"] >= ROLES * workers, what="every worker")
        yield here


def measure(here: Installation, prompt: str, jobs: int, first_wave: int) -> Result:
    """POSTs a second between the first wave, which comes all at once, and the last."""
    body = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64}
    answer = here.client.post("/v1/jobs/batch", json=[body] * jobs)
    assert answer.status_code == 202, answer.text
    bill = until(lambda: (seen := _bill(here))["taken"] >= jobs and not seen["in_flight"] and seen, MOST_SECONDS)
    assert bill["taken"] == jobs, "something was bought twice"
    times = sorted(datetime.fromisoformat(row["at"]).timestamp() for row in bill["posts"] if row["taken"])
    return Result((jobs - first_wave) / (times[-1] - times[0]), bill["max_in_flight"], bill["refused_429"])


def _bill(here: Installation) -> dict[str, Any]:
    bill: dict[str, Any] = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=20).json()
    return bill


if __name__ == "__main__":
    main()
