"""What the lists of `/v1` share: how many rows a page has."""

from api.http.problems import bad_field

MOST_ROWS = 200
DEFAULT_ROWS = 50
MOST_LIMIT_CHARACTERS = 10


def rows_of_page(text: str | None) -> int:
    """The parameter `limit`. Raises Problem `invalid_request` where it is none of 1 to 200."""
    if text is None:
        return DEFAULT_ROWS
    if not (text.isascii() and text.isdigit() and len(text) < MOST_LIMIT_CHARACTERS and 1 <= int(text) <= MOST_ROWS):
        raise bad_field("limit", f"1 to {MOST_ROWS}")
    return int(text)
