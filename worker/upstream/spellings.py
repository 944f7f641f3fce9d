"""Undoes the spellings that servers put around texts which they repeat: JSON in HTML in an address, for instance."""

import html
import re
from urllib.parse import unquote

JSON_ESCAPE = re.compile(r"\\u([0-9a-f]{4})", re.IGNORECASE)


def decoded(text: str) -> str:
    """The text with its JSON escapes, HTML entities and percent signs decoded, once."""
    text = JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return unquote(html.unescape(text.replace("\\/", "/").replace('\\"', '"')))
