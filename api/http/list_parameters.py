"""Parameters that several lists of `/v1` share: the number of rows per page, and times."""

from api.http.problems import bad_field
from worker.job.record import Milliseconds
from worker.job.times import from_rfc3339

MOST_ROWS = 200
DEFAULT_ROWS = 50
MOST_LIMIT_CHARACTERS = 10
A_TIME = "an RFC 3339 time such as 2026-11-23T12:00:00Z"


def rows_of_page(text: str | None) -> int:
    """The parameter `limit`. Raises Problem `invalid_request` unless it is 1 to 200."""
    if text is None:
        return DEFAULT_ROWS
    if not (text.isascii() and text.isdigit() and len(text) < MOST_LIMIT_CHARACTERS and 1 <= int(text) <= MOST_ROWS):
        raise bad_field("limit", f"1 to {MOST_ROWS}")
    return int(text)


def time_of(name: str, text: str) -> Milliseconds:
    """The time in a parameter or field; without a zone it is UTC. Raises Problem `invalid_request`."""
    try:
        return from_rfc3339(text)
    except ValueError:
        raise bad_field(name, A_TIME) from None
