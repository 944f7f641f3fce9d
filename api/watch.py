"""Following jobs: one Redis subscription per process, any number of listeners, and a slow poll as fallback.

A published event only says that the timeline should be read. If an event is lost while Redis is away, the next poll
makes up for it. So a listener may be late, but never misses a transition.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from redis.exceptions import RedisError

from worker.store.lane import connect

log = structlog.get_logger()

CHANNEL = "events"
POLL_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
CONNECT_SECONDS = 2.0


class Watch:
    """Wakes the listeners of a job when it changes."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url, CONNECT_SECONDS, health_check_seconds=15)
        self._listeners: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None
        self.ending = False

    def start(self) -> None:
        """Starts to listen, on the running event loop."""
        self._listening = asyncio.create_task(self._listen_for_ever())

    def end(self) -> None:
        """Wakes every listener and ends it; its client connects again with `Last-Event-ID` and misses nothing."""
        self.ending = True
        for listeners in self._listeners.values():
            for moved in listeners:
                moved.set()

    async def aclose(self) -> None:
        """Stops listening."""
        self.end()
        if self._listening:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._redis.aclose()

    @asynccontextmanager
    async def follow(self, job_id: str) -> AsyncIterator["Follower"]:
        """Follows one job until the block ends."""
        moved = asyncio.Event()
        self._listeners[job_id].add(moved)
        try:
            yield Follower(self, moved)
        finally:
            self._listeners[job_id].discard(moved)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("redis.away", reason=type(error).__name__)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            async for message in subscription.listen():
                job_id = message["data"].split(b" ", 1)[0].decode()
                for moved in self._listeners.get(job_id, ()):
                    moved.set()


class Follower:
    """One listener of one job."""

    def __init__(self, watch: Watch, moved: asyncio.Event) -> None:
        self._watch = watch
        self._moved = moved

    @property
    def ending(self) -> bool:
        """Whether the process is about to stop; then nobody may wait."""
        return self._watch.ending

    async def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Returns when the job may have changed: at once if it did since the last call, at latest after `seconds`."""
        if self.ending:
            return
        try:
            async with asyncio.timeout(min(seconds, POLL_SECONDS)):
                await self._moved.wait()
        except TimeoutError:
            return
        finally:
            self._moved.clear()
