"""The API as a process of its own, and what an attack on its door does to it: memory, and how long others wait."""

import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from api.cli.stack.redis_server import free_port

KEY = "acme-key-0123"
QUIET_KEY = f"other-{KEY}"
MIB = 1024 * 1024
MOST_GROWTH = 32 * MIB
"""What the API's memory may grow by under any one attack."""
MOST_P99_SECONDS = 0.1
"""How long others wait at most, 99 times of 100; on a machine that is busy anyway, three times as long as before."""
CALM_SECONDS = 1.5
PER_SECOND = 1000
LEAST_SECONDS = 3.0
"""So many seconds others are asked, however soon an attack is over: 99 of 100 wants a hundred."""
WARM = ("/healthz", "/openapi.json", "/docs", "/v1/jobs", "/readyz", "/nothing")


@dataclass
class Toll:
    """What an attack did: bytes of memory at its peak over those before it, and seconds of every answer to others."""

    growth: int = 0
    seconds: list[float] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)

    def check(self) -> None:
        """Fails where the aims are missed."""
        p99, calm = _p99(self.seconds), _p99(self.calm)
        waited = f"/healthz p99 {p99 * 1000:.1f} ms of {len(self.seconds)}, calm {calm * 1000:.1f} ms"
        print(f"growth {self.growth / MIB:.1f} MiB, {waited}")
        assert self.growth <= MOST_GROWTH, f"{self.growth / MIB:.0f} MiB"
        assert p99 <= max(MOST_P99_SECONDS, 3 * calm), waited


class Door:
    """One running API."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    def log(self) -> str:
        """Everything that it has said."""
        return self._log.read_text()

    @contextmanager
    def measured(self) -> Iterator[Toll]:
        """Measures while the block runs; the toll is there after it."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            pytest.skip("memory is read from /proc, which this system does not have")
        toll = Toll()
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = _kilobytes(status, "VmRSS")
        with self.asked() as toll.calm:
            time.sleep(CALM_SECONDS)
        with self.asked() as toll.seconds:
            began = time.monotonic()
            yield toll
            time.sleep(max(0.0, LEAST_SECONDS - (time.monotonic() - began)))
        toll.growth = (_kilobytes(status, "VmHWM") - before) * 1024

    @contextmanager
    def asked(self, key: str = "") -> Iterator[list[float]]:
        """Somebody asks `/healthz` while the block runs, or posts jobs with that key: the seconds of each answer."""
        took: list[float] = []
        command = [sys.executable, "-m", "tests.support.probe", str(self.port), *filter(None, [key])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as probe:
            assert probe.stdout and probe.stdout.readline() == b"\n"
            try:
                yield took
            finally:
                took += json.loads(probe.communicate()[0])

    def connect(self, receive_bytes: int = 0) -> socket.socket:
        """A connection; with `receive_bytes`, one whose receiver takes hardly anything."""
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(15)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def answer_to(self, request: bytes) -> bytes:
        """Everything that comes back until the connection ends or nothing comes for a while."""
        with self.connect() as connection:
            with suppress(OSError):  # it may hang up before it has heard all
                connection.sendall(request)
            return everything(connection)

    def pour(self, head: bytes, piece: bytes, most_bytes: int) -> tuple[int, bytes]:
        """Sends the piece again and again, whatever is answered: how many bytes were taken, and the answer."""
        sent, came, rest = 0, b"", memoryview(head + piece)
        with self.connect() as connection, suppress(OSError):
            connection.setblocking(False)
            while sent < most_bytes:
                readable, writable, _ = select.select([connection], [connection], [], 12)
                if not readable and not writable:
                    break
                if readable and not (new := connection.recv(65536)):
                    break
                came += new if readable else b""
                if writable:
                    taken = connection.send(rest)
                    sent, rest = sent + taken, rest[taken:] or memoryview(piece)
        return sent, came


def everything(connection: socket.socket, seconds: float = 3.0) -> bytes:
    """What comes until the end of the connection, or until nothing has come for that time."""
    connection.settimeout(seconds)
    came = b""
    with suppress(OSError):
        while piece := connection.recv(65536):
            came += piece
    return came


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it; what still comes is read first."""
    connection.settimeout(0.5)
    try:
        while connection.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


async def at_once(count: int, port: int, request: bytes, seconds: float) -> list[bytes]:
    """That many connections with the same bytes, held for that time; the beginning of what each was answered.

    They come one after another: what is held is measured, not how fast a machine can take connections.
    """

    async def one(number: int) -> bytes:
        await asyncio.sleep(number / PER_SECOND)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return b"no connection"
        try:
            async with asyncio.timeout(seconds):
                writer.write(request)
                came = b""
                while piece := await reader.read(4096):
                    came = (came + piece)[:4096]
                return came
        except (OSError, TimeoutError):
            return b"held"
        finally:
            writer.transport.abort()

    return list(await asyncio.gather(*(one(number) for number in range(count))))


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def _kilobytes(status: Path, name: str) -> int:
    return int(next(line for line in status.read_text().splitlines() if line.startswith(name)).split()[1])


@contextmanager
def running_door(
    redis_url: str, folder: Path, bounds: Mapping[str, float] | None = None, **more: str
) -> Iterator[Door]:
    """The real process on a free port, warm, with these settings and bounds; killed at the end."""
    port, log = free_port(), folder / "log"
    environment = os.environ | {
        "DARKROOM_REDIS_URL": redis_url,
        "DARKROOM_SECRET": "a-secret-for-tests-0123456789",
        "DARKROOM_API_KEYS": f"acme:{KEY},other:{QUIET_KEY}",
        "DARKROOM_PORT": str(port),
        "DARKROOM_IMAGES_URL": f"file://{folder}/images",
        "DARKROOM_LOG_FORMAT": "json",
    }
    environment |= {f"DARKROOM_{name.upper()}": value for name, value in more.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(_command(bounds or {}), env=environment, stdout=out, stderr=out)
    try:
        _warm(process, port, log)
        yield Door(process, port, log)
        assert process.poll() is None, f"the API has died: {log.read_text()[-2000:]}"
    finally:
        process.kill()
        process.wait()


def _command(bounds: Mapping[str, float]) -> list[str]:
    if not bounds:
        return [sys.executable, "-m", "api"]
    lines = [f"bounds.{name} = {value}" for name, value in bounds.items()]
    return [
        sys.executable,
        "-c",
        "\n".join(
            ["import sys", "from api.guard import bounds", *lines, "import api.__main__ as it", "sys.exit(it.main())"]
        ),
    ]


def _warm(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {KEY}"}) as client:
        while True:
            try:
                client.get("/healthz")
                break
            except httpx.HTTPError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        for path in WARM * 3:
            client.get(path)
        for _ in range(20):
            client.post("/v1/jobs", content=b"{" + b" " * 60_000)
            client.post("/api/v1/enterprise/text2img", content=b"{" + b" " * 60_000)
