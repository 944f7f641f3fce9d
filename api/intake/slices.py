"""Long work in slices: a batch must not keep other requests of this process from going on."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

SLICE = 50
"""So many orders or answers take about a millisecond."""


async def in_slices(make: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What is made of each, in their order; between two slices others have the event loop."""
    made: list[R] = []
    for start in range(0, len(items), SLICE):
        if start:
            await asyncio.sleep(0)
        made += map(make, items[start : start + SLICE])
    return made
