"""Pages for a browser: sent so that no other site can frame them, and nothing but their own scripts can run."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from api.http.constant_answers import Constant, constant

INLINE = re.compile(r"<(script|style)>(.*?)</(?:script|style)>", re.DOTALL)


def page(html: str) -> Constant:
    """The page, with the hashes of what stands inline in its Content-Security-Policy."""
    policy = "; ".join(_policy(html))
    more = {"content-security-policy": policy, "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
    return constant(html.encode(), "text/html; charset=utf-8", more=more)


def _policy(html: str) -> Iterator[str]:
    yield "default-src 'none'"
    for kind in ("script", "style"):
        hashes = (sha256(found[2].encode()).digest() for found in INLINE.finditer(html) if found[1] == kind)
        yield " ".join((f"{kind}-src 'self'", *(f"'sha256-{b64encode(each).decode()}'" for each in hashes)))
    yield "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
