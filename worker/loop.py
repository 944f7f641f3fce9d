"""One event loop on a thread of its own, for worker threads to park on.

Celery's pool is threads, everything that waits (Redis, the upstream, pictures) is asyncio: a task hands its coroutine
to this loop and sleeps until it is done, so thousands of slow submissions cost one thread stack each and no more.
"""

import asyncio
from collections.abc import Coroutine
from threading import Thread
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads. Start it after any fork."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="loop", daemon=True)

    def start(self) -> None:
        """Begins to take coroutines."""
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for the coroutine's result on the calling thread; its exception is raised there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        """Stops the loop; what has not been waited for by then is lost."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
