"""One result for everybody who asks within a moment, so that asking often costs no more than asking once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedResult(Generic[T]):
    """Keeps what was found out last for some seconds; who asks meanwhile, or while it is found out, gets the same."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = 0.0
        self._finding: asyncio.Future[T] | None = None

    async def get(self, find: Callable[[], Awaitable[T]]) -> T:
        """The result; an error is given to those who have waited for it, and not kept."""
        if self._finding is None or (self._finding.done() and time.monotonic() >= self._until):
            self._finding = asyncio.ensure_future(self._found(find))
        return await asyncio.shield(self._finding)

    async def _found(self, find: Callable[[], Awaitable[T]]) -> T:
        self._until = 0.0
        found = await find()
        self._until = time.monotonic() + self._seconds
        return found
