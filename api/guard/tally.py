"""Counts what the guard refuses: one log line a minute says how often, however much comes."""

import time
from collections import Counter

import structlog

from api.guard import bounds

log = structlog.get_logger()


class Tally:
    """How often each thing was refused, since the last line and since the start."""

    def __init__(self) -> None:
        self.since_start: Counter[str] = Counter()
        self._since_line: Counter[str] = Counter()
        self._line_at = -bounds.TALLY_SECONDS

    @property
    def has_more(self) -> bool:
        """Whether a line is still to be written."""
        return bool(self._since_line)

    def count(self, reason: str) -> None:
        """One more."""
        self.since_start[reason] += 1
        self._since_line[reason] += 1

    def tell(self) -> None:
        """Writes the line if there is something to say and the last one is long enough ago."""
        now = time.monotonic()
        if self._since_line and now - self._line_at >= bounds.TALLY_SECONDS:
            log.warning("connections.refused", **self._since_line)
            self._since_line.clear()
            self._line_at = now
