"""What a schema cannot say: an Idempotency-Key belongs to one body, so each call gets one of its own."""

from typing import Any
from uuid import uuid4

import schemathesis

MOST_CHARACTERS = 255


def _is_about_headers(case: Any) -> bool:
    data = getattr(getattr(case.meta, "phase", None), "data", None)
    return str(getattr(data, "parameter_location", None)).lower().endswith("header")


@schemathesis.hook
def before_call(_context: Any, case: Any, *_: Any) -> None:
    """A key that is right by its form is made unique; one that is not stays as it is, to be refused."""
    if _is_about_headers(case):  # a header is left out on purpose: touching them would put it back
        return
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) <= MOST_CHARACTERS - 33:
        case.headers["Idempotency-Key"] = f"{key}-{uuid4().hex}"
