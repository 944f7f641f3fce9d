"""What a target is."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from hypothesis.strategies import SearchStrategy

Strategy = SearchStrategy[Any]


class Target(NamedTuple):
    """A promise about any bytes. `check` raises if these bytes break it."""

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    """What to begin with: recordings, examples of the documentation, valid values."""
    examples: Strategy
    """Bytes with the structure that random ones do not have."""
