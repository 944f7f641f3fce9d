"""Decoding in child processes: an image that kills its decoder kills a child, never the worker.

A pool of our own because `ProcessPoolExecutor` fails everything in it when one child dies, cannot end one that hangs
without cancelling its neighbours, and starts children with the worker's modules and its environment.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from config.settings import Settings
from worker.images.child import LENGTH_BYTES
from worker.images.decoded import BrokenImage, DecodedImage
from worker.images.turns import Turns

CHILDREN = 3
"""Child processes, started when they are first needed. One tenant uses at most one fewer."""
DECODE_SECONDS = 20.0
END_SECONDS = 5.0
LONGEST_ANSWER_BYTES = 65_536
ROOT = Path(__file__).parents[2]
CHILD_COMMAND = (sys.executable, "-m", "worker.images.child")


class ChildGone(Exception):
    """A child ended instead of answering. The text says how."""


class Decoder:
    """A few children, started when they are first needed. `inspect` waits for a free one."""

    def __init__(
        self, settings: Settings, *, command: Sequence[str] = CHILD_COMMAND, seconds: float = DECODE_SECONDS
    ) -> None:
        self._command = (*command, str(settings.image_max_pixels))
        self._seconds = seconds
        self._turns = Turns(CHILDREN)
        self._threads = ThreadPoolExecutor(CHILDREN, "decoder")
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()

    async def inspect(self, data: bytes, tenant: str = "") -> DecodedImage:
        """The image in these bytes; tenants take turns. Raises BrokenImage, also if a child died or hung on it."""
        async with self._turns.of(tenant):
            if self._idle:
                with suppress(ChildGone):  # killed by this image, or while it was idle: a new child decides
                    return await self._ask(self._idle.pop(), data)
            try:
                return await self._ask(_Child(self._command), data)
            except ChildGone as error:
                raise BrokenImage(f"ends its decoder ({error})") from error

    async def aclose(self) -> None:
        """Kills the children, also those that are at work."""
        for child in (*self._idle, *self._busy):
            child.kill()
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().reap()

    async def _ask(self, child: "_Child", data: bytes) -> DecodedImage:
        self._busy.add(child)
        answer: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(self._seconds):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, child.ask, data)
        except TimeoutError as error:
            raise BrokenImage("hangs its decoder") from error
        finally:
            self._busy.discard(child)
            if answer is None:  # died, hung, or cancelled: the thread at its pipe reaps it
                child.kill()
            else:
                self._idle.append(child)
        return _decoded(answer, data)


class _Child:
    """One process and its two pipes. `ask` and `reap` block; `kill` does not, and any thread may call it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def ask(self, data: bytes) -> dict[str, Any]:
        """The child's answer for these bytes. Raises ChildGone."""
        try:
            self._process = self._process or self._start()
            return _exchange(self._process, data)
        except OSError as error:
            self.reap()
            raise ChildGone(type(error).__name__) from error
        except ChildGone:
            raise ChildGone(f"exit {self.reap()}") from None

    def kill(self) -> None:
        """Kills the process now; a thread that waits for its answer gets ChildGone."""
        self._killed = True
        if process := self._process:
            process.kill()

    def reap(self) -> int | None:
        """Kills the process and closes its pipes, so that no zombie is left. Returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in _pipes(process):
            with suppress(OSError):  # bytes that the child did not read
                pipe.close()
        return process.wait(END_SECONDS)

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env={})
        if self._killed:  # killed while it was being started
            process.kill()
        return process


def _exchange(process: "subprocess.Popen[bytes]", data: bytes) -> dict[str, Any]:
    stdin, stdout = _pipes(process)
    stdin.write(len(data).to_bytes(LENGTH_BYTES, "big"))
    stdin.write(data)
    stdin.flush()
    line = stdout.readline(LONGEST_ANSWER_BYTES)
    if not line.endswith(b"\n"):
        raise ChildGone
    answer: dict[str, Any] = json.loads(line)
    return answer


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    return cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)


def _decoded(answer: dict[str, Any], data: bytes) -> DecodedImage:
    if "broken" in answer:
        raise BrokenImage(answer["broken"])
    whole = data if answer["size"] == len(data) else data[: answer["size"]]
    return DecodedImage(answer["format"], answer["width"], answer["height"], whole, answer["sha256"], answer["blank"])
