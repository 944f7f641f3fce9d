"""CPU per POST with 1,000 in flight: our client, httpx's own pool, and aiohttp bare, against a server that takes 1 s.

`python -m tests.benchmarks.bench_client`. Each client runs in a process of its own and counts that process's CPU time
only. All take their turn in every round, so that a slow machine slows all of them: read the ratios, not the figures.
Takes five minutes, nearly all of them httpx's.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import aiohttp
import httpx
import uvloop
from pydantic import SecretStr

from config.settings import Settings
from worker.job.answer import Taken
from worker.upstream.accounts import Account
from worker.upstream.client import UpstreamClient

ROUNDS = 3
POSTS = 3000
IN_FLIGHT = 1000
ANSWER_SECONDS = 1.0
BODY = Path("api/example.json").read_bytes()
REQUEST = json.loads(BODY)
CONTENT = b'{"status":"processing","id":134701497,"eta":2.75,"output":[]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(CONTENT) + CONTENT

Post = Callable[[str], Awaitable[None]]
Bench = Callable[[str], Coroutine[Any, Any, None]]


def main() -> None:
    """Runs the rounds and prints the table."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CLIENTS}
    with slow_server() as port:
        for _ in range(ROUNDS):
            for name, rows in results.items():
                out = subprocess.run([*_this(), name, port], check=True, stdout=subprocess.PIPE, text=True).stdout
                rows.append(json.loads(out))
    print_table(results)


@contextmanager
def slow_server() -> Iterator[str]:
    """The server, in a process of its own; its port."""
    server = subprocess.Popen([*_this(), "serve"], stdout=subprocess.PIPE, text=True)
    try:
        yield cast(IO[str], server.stdout).readline().strip()
    finally:
        server.terminate()
        server.wait(10)


def print_table(results: dict[str, list[dict[str, float]]]) -> None:
    """Medians over the rounds, and their ratio to aiohttp's."""
    middle = {
        name: {key: statistics.median(row[key] for row in rows) for key in ("cpu_ms", "seconds", "rss_mb")}
        for name, rows in results.items()
    }
    base = middle["aiohttp"]["cpu_ms"]
    print(f"\n{POSTS} POSTs, {IN_FLIGHT} in flight, answered after {ANSWER_SECONDS:g} s, median of {ROUNDS} rounds\n")
    print("| client | CPU ms a POST | against aiohttp | whole s | RSS MB |")
    print("|---|---|---|---|---|")
    for name, row in middle.items():
        ratio = row["cpu_ms"] / base
        print(f"| {name} | {row['cpu_ms']:.2f} | {ratio:.1f}× | {row['seconds']:.1f} | {row['rss_mb']:.0f} |")


async def run_darkroom(url: str) -> None:
    """As the worker submits: body, timeouts, reading, judging."""
    client = UpstreamClient(Settings(_env_file=None, allow_private_addresses=True, secret=SecretStr("x" * 32)))

    async def post(url: str) -> None:
        if not isinstance(await client.submit(Account("key-0", url, "k"), REQUEST, "t"), Taken):
            raise SystemExit("a POST was not answered")

    await _all(post, url)
    await client.aclose()


async def run_httpx(url: str) -> None:
    """httpx with its own pool, without a limit."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def post(url: str) -> None:
            (await client.post(f"{url}/text2img", content=BODY)).raise_for_status()

        await _all(post, url)


async def run_aiohttp(url: str) -> None:
    """The floor: aiohttp by itself."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(url: str) -> None:
            async with session.post(f"{url}/text2img", data=BODY) as answer:
                answer.raise_for_status()
                await answer.read()

        await _all(post, url)


CLIENTS: dict[str, Bench] = {"darkroom": run_darkroom, "httpx": run_httpx, "aiohttp": run_aiohttp}


def measure(name: str, port: str) -> None:
    """One client's run, its cost as JSON on stdout."""
    began, cpu = time.monotonic(), time.process_time()
    uvloop.run(CLIENTS[name](f"http://127.0.0.1:{port}"))
    cost = {
        "cpu_ms": (time.process_time() - cpu) * 1000 / POSTS,
        "seconds": time.monotonic() - began,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(cost))


async def _all(post: Post, url: str) -> None:
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with places:
            await post(url)

    await asyncio.gather(*(one() for _ in range(POSTS)))


class SlowServer(asyncio.Protocol):
    """Answers every request after a second; does no more than that, so that it is not what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._came = b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            self._came = b""
            asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._transport.write, ANSWER)


async def serve() -> None:
    """Listens on a free port, which it prints, until it is ended."""
    server = await asyncio.get_running_loop().create_server(SlowServer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _this() -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.bench_client"]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            uvloop.run(serve())
        case [name, port]:
            measure(name, port)
        case _:
            main()
