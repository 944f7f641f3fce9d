"""One event loop on its own thread. Celery has the main thread; everything that waits is asyncio and runs here."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for another thread. Start it after any fork."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._begun: set[asyncio.Task[None]] = set()
        self.turned_at = time.monotonic()
        """When it last did what it was asked (time.monotonic)."""

    def start(self) -> None:
        """Starts the thread; from now on coroutines run."""
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Blocks the calling thread until the coroutine has its result. Raises the coroutine's exception."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts the coroutine and returns at once. It must not raise, because nobody would see the exception."""
        self._loop.call_soon_threadsafe(self._begin, coroutine)

    def ask_to_turn(self) -> None:
        """Has `turned_at` set as soon as the loop gets to it."""
        with suppress(RuntimeError):  # it is closed already
            self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self.turned_at = time.monotonic()

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._begun.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._begun.discard)

    def stop(self) -> None:
        """Stops the loop; coroutines that still run are lost."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
