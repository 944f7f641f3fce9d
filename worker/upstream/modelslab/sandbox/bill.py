"""The bill: every POST that came, and whether it was taken. Tests trust it instead of our own records."""

from collections import Counter, defaultdict
from collections.abc import Collection
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
    made: Collection[str]
    """SHA-256 of the images made so far; an image is made when it is first read."""

    def shown(self) -> dict[str, Any]:
        """The row as JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"made": sorted(self.made)}


@dataclass
class Bill:
    """All rows, and by key the highest number of requests that were ever in progress at once."""

    rows: list[Row] = field(default_factory=list)
    in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(
        self,
        track_id: str | None,
        key: str,
        status: str,
        request_id: str | None,
        *,
        taken: bool,
        made: Collection[str] = (),
    ) -> None:
        """Notes one POST. `made` may grow later."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.rows.append(Row(track_id, _fingerprint(key), at, taken, status, request_id, made))

    def clear(self) -> None:
        """Forgets every row; requests in progress stay counted."""
        self.rows.clear()
        self.most_in_flight = defaultdict(int, self.in_flight)

    def begin(self, key: str) -> None:
        """Counts a request of that key as in progress."""
        self.in_flight[key] += 1
        self.most_in_flight[key] = max(self.most_in_flight[key], self.in_flight[key])

    def end(self, key: str) -> None:
        """Counts a request of that key as done."""
        self.in_flight[key] -= 1

    def shown(self, track_id: str | None = None) -> dict[str, Any]:
        """The bill as JSON, whole or of one track_id."""
        rows = [row for row in self.rows if track_id is None or row.track_id == track_id]
        by_track_id = Counter(row.track_id for row in rows if row.taken and row.track_id is not None)
        return {
            "posts": [row.shown() for row in rows],
            "taken": sum(row.taken for row in rows),
            "by_track_id": by_track_id,
            "refused_429": sum(row.status == "429" for row in rows),
            "in_flight": sum(self.in_flight.values()),
            "max_in_flight": max(self.most_in_flight.values(), default=0),
            "by_key": {_fingerprint(key): self._held(key) for key in list(self.most_in_flight)},
        }

    def _held(self, key: str) -> dict[str, int]:
        return {"in_flight": self.in_flight[key], "max_in_flight": self.most_in_flight[key]}


@lru_cache(maxsize=1024)
def _fingerprint(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:8]
