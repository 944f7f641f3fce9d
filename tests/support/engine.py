"""The engine in this process, over a real Redis and real sockets: an upstream that sells what a test gives it, and
workers that take Celery's messages and run the stories that they name.
"""

import asyncio
import hashlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from redis import Redis

from config.settings import Settings
from tests.support.queue import ROOM, order
from worker import lifecycle
from worker.job.record import Job, Status
from worker.resources import Resources, open_resources, pool_limits
from worker.running.loop import LoopThread
from worker.store.keys import CELERY

STORIES = {
    "submit": lifecycle.submit,
    "poll": lifecycle.poll,
    "collect": lifecycle.collect,
    "settle": lifecycle.settle,
    "rescue": lifecycle.rescue,
}
QUEUES = ("submit", "settle", "collect")


def png(words: str = "", colour: str = "red") -> bytes:
    """A small image; `words` go into its metadata, so that the same image has other bytes."""
    content, info = BytesIO(), PngInfo()
    info.add_text("words", words)
    image = Image.new("RGB", (8, 8), colour)
    image.putpixel((0, 0), (1, 2, 3))
    image.save(content, "PNG", pnginfo=info)
    return content.getvalue()


class Upstream:
    """Answers each POST with `success`: the image itself in the answer, or its address; fetch tells the address."""

    def __init__(self) -> None:
        self.url = ""
        self.inline: bytes | None = None
        self.linked = png("linked")
        self.image_seconds = 0.0
        self.samples = 1
        self.broken: set[int] = set()
        """Which images of each result never come, counted from 1."""
        self.poisoned: set[int] = set()
        """Which images of each result end their decoder (tests/support/poison_child.py), counted from 1."""
        self.always_new = False
        """Every read of an image gives other bytes."""
        self.reads = self.reading = self.most_at_once = 0
        self._requests = 0

    def next_is(self, number: int) -> None:
        """The id that its next answer carries."""
        self._requests = number - 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, the end of the connection."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            length = next((line.split(":")[1] for line in head.lower().split("\r\n") if "content-length:" in line), "0")
            await reader.readexactly(int(length))
            body = await self._answer(path)
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, path: str) -> bytes:
        if path.startswith("/image"):
            self.reads, self.reading = self.reads + 1, self.reading + 1
            self.most_at_once = max(self.most_at_once, self.reading)
            number = int(path.rpartition("-")[2].partition(".")[0])
            if number in self.broken | self.poisoned:
                return b"exit" if number in self.poisoned else b"not there"
            body = png(f"read {self.reads}") if self.always_new else self.linked
            await asyncio.sleep(self.image_seconds)
            self.reading -= 1
            return body
        self._requests += 1
        output = [f"{self.url}/image/{self._requests}-{number + 1}.png" for number in range(self.samples)]
        if self.inline and path.endswith("text2img"):
            output = [b64encode(self.inline).decode()] * self.samples
        return json.dumps({"status": "success", "id": self._requests, "output": output}).encode()


class Engine:
    """Resources of a worker process, and what a test does with them."""

    def __init__(self, resources: Resources, redis: Redis, upstream: Upstream) -> None:
        self.r = resources
        self.redis = redis
        self.upstream = upstream

    @property
    def folder(self) -> Path:
        """Where the images are."""
        folder = self.r.settings.images_folder
        assert folder
        return folder

    async def accepted(self, tenant: str = "acme", **more: Any) -> str:
        """The id of a job that is accepted and has its place."""
        await self.r.store.queue.configure(pool_limits(self.r))
        made = order(self.r.store, tenant, **more)
        assert (await self.r.store.accept([made], ROOM)).verdict == "created"
        return made.id

    async def finished(self) -> Job:
        """A job that has succeeded."""
        job_id = await self.accepted()
        await self.work()
        job: Job = await self.job(job_id)
        assert job.status is Status.SUCCEEDED
        return job

    async def work(self) -> None:
        """Runs what comes into Celery's queues, all at once, until nothing is left to do."""
        running: set[asyncio.Task[None]] = set()
        while (stories := self._stories()) or running:
            running |= {asyncio.create_task(story) for story in stories}
            done, running = await asyncio.wait(running, timeout=0.002)
            for each in done:
                each.result()

    def _stories(self) -> list[Any]:
        found = []
        for queue in QUEUES:
            while message := self.redis.rpop(CELERY(queue)):
                content = json.loads(message)  # type: ignore[arg-type]
                name = content["headers"]["task"].removeprefix("darkroom.")
                found.append(STORIES[name](self.r, json.loads(content["body"])[0][0]))
        return found

    async def job(self, job_id: str) -> Any:
        """The record."""
        found = await self.r.store.load(job_id)
        assert found
        return found.job

    def files(self) -> list[str]:
        """Every file in the image store but the installation's own."""
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path.name != "installation.json")
        return sorted(str(path.relative_to(self.folder)) for path in paths)

    def sha256(self, key: str) -> str:
        """Of the bytes that lie there."""
        return hashlib.sha256((self.folder / key).read_bytes()).hexdigest()


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    """An upstream on a free port."""
    made = Upstream()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=1024)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield made


@contextmanager
def upstream_beside() -> Iterator[Upstream]:
    """The same on a loop in a thread of its own, for a test that is no coroutine."""
    loop = LoopThread()
    loop.start()
    running = running_upstream()
    yield loop.run(running.__aenter__())
    loop.run(running.__aexit__(None, None, None))
    loop.stop()


@asynccontextmanager
async def running_engine(settings: Settings, redis: Redis, **more: Any) -> AsyncIterator[Engine]:
    """An engine and an upstream of its own."""
    async with running_upstream() as upstream:
        changes = {"upstream_url": upstream.url, "upstream_max_in_flight": 10_000} | more
        resources = await open_resources(settings.model_copy(update=changes))
        try:
            yield Engine(resources, redis, upstream)
        finally:
            await resources.aclose()
