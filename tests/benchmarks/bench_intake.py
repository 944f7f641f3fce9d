"""Accepted requests per second of one uvicorn process: ours, a tutorial's, and an endpoint that does no I/O.

`make bench`. All three against the same Redis-protocol server with appendfsync always, with the same body, one after
another in each round, so that a slow machine slows all of them: read the ratios, not the figures.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis

from api.cli.stack.redis_server import EmbeddedRedis, free_port

ROUNDS = 3
SECONDS = float(os.environ.get("SECONDS", "6"))
CONNECTIONS = 64
BODY = Path("api/example.json").read_bytes()
KEY = "bench-key-0123456789"
UVICORN = ("--loop=uvloop", "--http=httptools", "--log-level=warning", "--no-access-log")


def main() -> None:
    """Runs the rounds and prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body.json"
        body.write_bytes(BODY)
        redis = EmbeddedRedis(Path(folder) / "redis", free_port())
        redis.start()
        give_places(redis.url)
        environment = os.environ | {
            "DARKROOM_REDIS_URL": redis.url,
            "DARKROOM_SECRET": "bench-secret-0123456789",
            "DARKROOM_LOG_LEVEL": "WARNING",
            "DARKROOM_API_KEYS": f"bench:{KEY}",
            "DARKROOM_MAX_WAITING_JOBS": "100000000",
        }
        results: dict[str, list[dict[str, float]]] = {"tutorial": [], "darkroom": [], "floor": []}
        for _ in range(ROUNDS):
            for name, rows in results.items():
                with server(name, environment) as (port, path):
                    rows.append(load(port, path, str(body)))
        redis.stop()
    print_table(results)


def give_places(url: str) -> None:
    """An upstream key with places for all, so that every accept writes its Celery message at once."""
    redis = Redis.from_url(url)
    redis.sadd("upstreams", "bench")
    redis.hset("upstream:bench", "limit", 1_000_000_000)
    redis.close()


@contextmanager
def server(name: str, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """One uvicorn process with that endpoint."""
    port = free_port()
    module = ["api"] if name == "darkroom" else ["uvicorn", "tests.benchmarks.tutorial:app", f"--port={port}", *UVICORN]
    command = [sys.executable, "-m", *module]
    process = subprocess.Popen(command, env=environment | {"DARKROOM_PORT": str(port)})
    try:
        _wait_for(port)
        yield port, "/v1/jobs" if name == "darkroom" else f"/{name}"
    finally:
        process.terminate()
        process.wait(30)


def load(port: int, path: str, body_file: str) -> dict[str, float]:
    """One measured run, after a short warm-up."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.load",
        str(port),
        path,
        body_file,
        f"authorization: Bearer {KEY}",
    ]
    for seconds in ("1", str(SECONDS)):
        out = subprocess.run([*command, str(CONNECTIONS), seconds], check=True, capture_output=True, text=True).stdout
    report: dict[str, float] = json.loads(out)
    if set(report["statuses"]) != {"202"}:  # type: ignore[call-overload]
        raise SystemExit(f"not every request was accepted: {report}")
    return report


def print_table(results: dict[str, list[dict[str, float]]]) -> None:
    """Medians over the rounds, and their ratio to the tutorial's."""
    middle = {
        name: {key: statistics.median(row[key] for row in rows) for key in ("per_second", "p50_ms", "p99_ms")}
        for name, rows in results.items()
    }
    base = middle["tutorial"]
    print(f"\nintake: {CONNECTIONS} connections, {SECONDS:g} s, median of {ROUNDS} rounds, appendfsync always\n")
    print("| endpoint | accepted/s | p50 ms | p99 ms | rate against the tutorial | p99 against the tutorial |")
    print("|---|---|---|---|---|---|")
    for name, row in middle.items():
        rate, tail = row["per_second"] / base["per_second"], row["p99_ms"] / base["p99_ms"]
        figures = f"{row['per_second']:.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f}"
        print(f"| {name} | {figures} | {rate:.2f}× | {tail:.2f}× |")


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
