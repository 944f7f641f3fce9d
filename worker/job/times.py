"""Times in text: what we write, and what we read. A record's own times are whole milliseconds (record.py)."""

from datetime import UTC, datetime

from worker.job.record import Milliseconds


def rfc3339(at: Milliseconds | None) -> str | None:
    """`2026-11-23T12:34:56.789Z`, always UTC, or None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> Milliseconds:
    """The time that the text names; without a zone it is UTC. Raises ValueError."""
    try:
        parsed = datetime.fromisoformat(text)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except OverflowError:
        raise ValueError(text) from None
