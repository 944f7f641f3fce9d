"""Parked messages: what was taken from a queue and is not a message of ours, kept for an operator to look at.

The list is bounded, because whoever can write to Redis can send any number of them.
"""

from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import orjson

from worker.job.record import Milliseconds
from worker.store.keys import PARKED
from worker.store.lane import Lane
from worker.store.script import script
from worker.store.wake_up import Flaw

MOST_KEPT = 1000
MOST_BYTES_KEPT = 2048


class Parked(NamedTuple):
    """A parked message: when (ms since 1970), from which queue, why, how long it was, and how it began."""

    at: Milliseconds
    queue: str
    why: str
    size: int
    head: bytes


@script
def park(*, queue: str, why: str, row: bytes, most: int) -> None:
    """Keeps and counts one message."""


class Parking:
    """The parked messages. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def park(self, queue: str, why: Flaw, message: bytes, size: int | None = None) -> None:
        """Keeps the beginning of a message and counts it. `size`: its whole length, if it was cut before."""
        head = b64encode(message[:MOST_BYTES_KEPT]).decode()
        row = {"queue": queue, "why": why.value, "bytes": len(message) if size is None else size, "head": head}
        await self._lane.run(park, queue=queue, why=why.value, row=orjson.dumps(row), most=MOST_KEPT)

    async def rows(self, most: int = MOST_KEPT) -> list[Parked]:
        """Those that are kept, newest first."""
        return [_parked(orjson.loads(row)) for row in await self._lane.call("LRANGE", PARKED(), 0, most - 1)]

    async def clear(self) -> int:
        """Forgets those that are kept; the counts stay. Returns how many there were."""
        kept = int(await self._lane.call("LLEN", PARKED()))
        await self._lane.write("LTRIM", PARKED(), 0, -kept - 1)  # what comes in meanwhile stands before them
        return kept


def _parked(row: dict[str, Any]) -> Parked:
    return Parked(row["at"], row["queue"], row["why"], row["bytes"], b64decode(row["head"]))
