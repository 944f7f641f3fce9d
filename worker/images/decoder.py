"""Decoding in child processes: a picture that kills its decoder kills a child, never the worker.

Children are spawned, not forked (the worker has threads), limited in memory and CPU time, and replaced when they die.
A pool that breaks fails all that were in it; each of those is tried once more alone, so that only the one that kills
pays for it.
"""

import asyncio
import multiprocessing
import resource
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from config.settings import Settings
from worker.images.picture import BrokenPicture, Picture, inspect

CHILDREN = 2
CHILD_BYTES = 1_500_000_000
CHILD_CPU_SECONDS = 3600
"""Over a child's life; a hang is ended sooner, by DECODE_SECONDS."""
DECODE_SECONDS = 20.0


class Decoder:
    """A small pool of children, started with the first picture."""

    def __init__(self, settings: Settings) -> None:
        self._max_pixels = settings.image_max_pixels
        self._pool: ProcessPoolExecutor | None = None
        self._alone = asyncio.Lock()

    async def inspect(self, data: bytes) -> Picture:
        """The picture in these bytes. Raises BrokenPicture, also where the child died of it."""
        try:
            return await self._in_pool(data)
        except (BrokenProcessPool, TimeoutError):
            self._discard()
        async with self._alone:  # whose fault it was shows when it is alone
            return await self._in_fresh_child(data)

    async def aclose(self) -> None:
        """Ends the children."""
        self._discard()

    async def _in_pool(self, data: bytes) -> Picture:
        self._pool = self._pool or _new_pool(CHILDREN)
        return await self._run(self._pool, data)

    async def _in_fresh_child(self, data: bytes) -> Picture:
        pool = _new_pool(1)
        try:
            return await self._run(pool, data)
        except (BrokenProcessPool, TimeoutError) as error:
            raise BrokenPicture("kills or hangs the decoder") from error
        finally:
            _end(pool)

    async def _run(self, pool: ProcessPoolExecutor, data: bytes) -> Picture:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DECODE_SECONDS):
            return await loop.run_in_executor(pool, inspect, data, self._max_pixels)

    def _discard(self) -> None:
        pool, self._pool = self._pool, None
        if pool:
            _end(pool)


def _new_pool(children: int) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(children, mp_context=spawn, initializer=_limit_child)


def _limit_child() -> None:
    """In the child: bounded memory and CPU, and Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CPU, (CHILD_CPU_SECONDS, CHILD_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))


def _end(pool: ProcessPoolExecutor) -> None:
    children = list((pool._processes or {}).values())  # no public way to end a child that hangs before Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for child in children:
        child.kill()
