"""Times as text (RFC 3339): formatting and parsing. Records have integer milliseconds (record.py)."""

from datetime import UTC, datetime

from worker.job.record import Milliseconds


def rfc3339(at: Milliseconds | None) -> str | None:
    """`2026-11-23T12:34:56.789Z`, always UTC, or None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str, *, needs_zone: bool = False) -> Milliseconds:
    """The time that the text names; without a zone it is UTC, never the machine's own.

    In ms since 1970. Raises ValueError if it is no time, and, with `needs_zone`, for a time without a zone.
    """
    parsed = datetime.fromisoformat(text)
    if needs_zone and parsed.tzinfo is None:
        raise ValueError(text)
    try:
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
    except OverflowError:
        raise ValueError(text) from None
