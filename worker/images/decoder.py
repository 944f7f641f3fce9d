"""Decoding in child processes: an image that kills its decoder kills a child, never the worker.

A pool of our own because `ProcessPoolExecutor` fails everything in it when one child dies, cannot end one that hangs
without cancelling its neighbours, and starts children with the worker's modules and its environment.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from config.settings import Settings
from worker.images.broken import BrokenImage, DeadlyImage
from worker.images.child_process import Child, ChildGone
from worker.images.decoded import DecodedImage
from worker.images.turns import Turns

log = structlog.get_logger()

CHILDREN = 3
"""Child processes, started when they are first needed. One tenant uses at most one fewer."""
DECODE_SECONDS = 20.0
"""An image is limited in CPU seconds (child.py); this ends a child that waits for something instead."""
CHILD_COMMAND = (sys.executable, "-m", "worker.images.child")


class Decoder:
    """A few children, started when they are first needed. `inspect` waits for a free one."""

    def __init__(
        self, settings: Settings, *, command: Sequence[str] = CHILD_COMMAND, seconds: float = DECODE_SECONDS
    ) -> None:
        self._command = (*command, str(settings.image_max_pixels))
        self._seconds = seconds
        self._turns = Turns(CHILDREN)
        self._threads = ThreadPoolExecutor(CHILDREN, "decoder")
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._closed = False
        self._jail = ""

    async def inspect(self, data: bytes, tenant: str = "") -> DecodedImage:
        """The image in these bytes; tenants take turns. Raises BrokenImage; DeadlyImage if a child died or hung."""
        async with self._turns.of(tenant):
            try:
                return await self._asked(data)
            except ChildGone as gone:
                if self._closed:
                    raise BrokenImage("was not decoded: the worker stops") from gone
                raise DeadlyImage(f"ends its decoder ({gone})") from gone

    async def jail(self) -> str:
        """Which jail a child is in on this machine (jail.py)."""
        child = Child(self._command)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, child.start)
        finally:
            child.reap()

    async def aclose(self) -> None:
        """Kills the children, also those that are at work."""
        self._closed = True
        for child in (*self._idle, *self._busy):
            child.kill()
        self._threads.shutdown()
        while self._idle:
            self._idle.pop().reap()

    async def _asked(self, data: bytes) -> DecodedImage:
        if self._idle:
            try:
                return await self._ask(self._idle.pop(), data)
            except ChildGone as gone:
                if gone.code != -signal.SIGKILL:  # else killed by others, perhaps before this image came: a new one
                    raise
        return await self._ask(Child(self._command), data)

    async def _ask(self, child: Child, data: bytes) -> DecodedImage:
        self._busy.add(child)
        answer: DecodedImage | BrokenImage | None = None
        try:
            async with asyncio.timeout(self._seconds):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, child.ask, data)
        except TimeoutError as error:
            raise DeadlyImage("hangs its decoder") from error
        finally:
            self._busy.discard(child)
            if answer is None:  # died, hung, or cancelled: the thread at its pipe reaps it
                child.kill()
            else:
                self._idle.append(child)
                self._note(child.jail)
        if isinstance(answer, BrokenImage):
            raise answer
        return answer

    def _note(self, jail: str) -> None:
        if jail != self._jail:
            self._jail = jail
            (log.info if jail == "seccomp" else log.warning)("decoder.jail", jail=jail)
