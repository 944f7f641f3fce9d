"""Two tenants: how long the quiet one waits while it is calm, and while its neighbour does its worst.

Both are measured in one run, so that a slow machine is slow for both. The quiet tenant's p99 may be twice that of
calm. Below `floor` it is not compared: there the machine's own noise is larger than what an attack adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_TIMES_CALM = 2.0
FLOOR_SECONDS = 0.5
"""Of one answer, delivery or image, while other tests run on the same machine. The attacks took 2 s and more."""


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that the quiet tenant waited, once for each thing that it asked for."""

    calm: Sequence[float]
    loud: Sequence[float]

    def check(self, *, floor: float = FLOOR_SECONDS) -> None:
        """Fails if the neighbour is felt. Prints both figures."""
        calm, loud = p99(self.calm), p99(self.loud)
        said = f"quiet tenant: p99 {loud:.3f} s of {len(self.loud)}, calm {calm:.3f} s of {len(self.calm)}"
        print(said)
        assert loud <= max(floor, MOST_TIMES_CALM * calm), said


def p99(seconds: Sequence[float]) -> float:
    """The time within which 99 of 100 were served; with fewer than a hundred, the longest."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]
