"""A load generator for one endpoint: keep-alive connections over raw sockets, bounded in time, loopback only.

Run as its own process, so that its work is not counted as the server's: `python -m tests.benchmarks.load PORT PATH …`.
Prints one JSON line: answered, seconds, latencies in milliseconds, answers by status.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import uvloop


async def main(port: int, path: str, body: bytes, headers: str, connections: int, seconds: float) -> None:
    """Loads 127.0.0.1:port and prints what came back."""
    request = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    await asyncio.gather(*(_caller(port, request, until, latencies, statuses) for _ in range(connections)))
    took = time.perf_counter() - began
    latencies.sort()
    report = {
        "answered": len(latencies),
        "per_second": round(len(latencies) / took, 1),
        "p50_ms": _at(latencies, 0.50),
        "p99_ms": _at(latencies, 0.99),
        "statuses": dict(statuses),
    }
    print(json.dumps(report))


async def _caller(port: int, request: bytes, until: float, latencies: list[float], statuses: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        statuses[head[9:12].decode()] += 1
    writer.close()


def _at(latencies: list[float], share: float) -> float:
    return round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2)


if __name__ == "__main__":
    port, path, body_file, header, connections, seconds = sys.argv[1:]
    content = Path(body_file).read_bytes()
    headers = f"{header}\r\n" if header else ""
    uvloop.run(main(int(port), path, content, headers, int(connections), float(seconds)))
