"""The bill: every POST that came, and whether it was taken. What a test believes instead of our own records."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any


@dataclass(slots=True)
class Row:
    """One POST."""

    track_id: str | None
    key: str
    at: str
    taken: bool
    status: str
    request_id: str | None


@dataclass
class Bill:
    """All rows, and the most that was ever in work at once."""

    rows: list[Row] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    max_in_flight: int = 0

    def add(self, track_id: str | None, key: str, status: str, request_id: str | None, *, taken: bool) -> None:
        """Notes one POST."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.rows.append(Row(track_id, _fingerprint(key), at, taken, status, request_id))

    def clear(self) -> None:
        """Forgets every row; what is in work stays counted."""
        self.rows.clear()
        self.max_in_flight = sum(self.in_flight.values())

    def begin(self, key: str) -> None:
        """One more in work for that key."""
        self.in_flight[key] += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight[key])

    def end(self, key: str) -> None:
        """One less in work for that key."""
        self.in_flight[key] -= 1

    def shown(self, track_id: str | None = None) -> dict[str, Any]:
        """The bill as JSON, whole or of one track_id."""
        rows = [row for row in self.rows if track_id is None or row.track_id == track_id]
        by_track_id = Counter(row.track_id for row in rows if row.taken and row.track_id is not None)
        return {
            "posts": [{name: getattr(row, name) for name in Row.__slots__} for row in rows],
            "taken": sum(row.taken for row in rows),
            "by_track_id": by_track_id,
            "refused_429": sum(row.status == "429" for row in rows),
            "in_flight": sum(self.in_flight.values()),
            "max_in_flight": self.max_in_flight,
        }


@lru_cache(maxsize=1024)
def _fingerprint(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:8]
