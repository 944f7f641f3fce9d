"""The `Idempotency-Key`: the name of its row, and when two requests are the same, namely equal as JSON values.

The order of members, white space, escapes and `1.0` for `1` make no difference.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import orjson
from fastapi import Request
from pydantic_core import from_json

from api.http.problems import Problem
from worker.store import keys

MOST_KEY_CHARACTERS = 255
MOST_BYTES_AT_ONCE = 65_536
"""A longer body is hashed in a thread, so that it does not block the event loop."""
_LONG_BODIES = ThreadPoolExecutor(1, "fingerprint")


async def idempotency_of(request: Request, tenant: str, body: bytes) -> tuple[str, str] | None:
    """(name of the row of the request's `Idempotency-Key`, fingerprint of the body); None without a key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= MOST_KEY_CHARACTERS:
        raise Problem("invalid_request", f"Idempotency-Key is 1 to {MOST_KEY_CHARACTERS} characters long.")
    row = sha256(f"{request.url.path} {key}".encode()).hexdigest()
    if len(body) <= MOST_BYTES_AT_ONCE:
        return keys.IDEMPOTENCY(tenant, row), fingerprint(body)
    looking = asyncio.get_running_loop().run_in_executor(_LONG_BODIES, fingerprint, body)
    return keys.IDEMPOTENCY(tenant, row), await looking


def fingerprint(body: bytes) -> str:
    """The hash of the JSON value, a colon, and the hash of the bytes, which rows of older versions have."""
    literal = sha256(body).hexdigest()
    try:
        value = _plain(from_json(body, allow_inf_nan=False)) if body else ""
    except ValueError:
        return literal
    return f"{sha256(_written(value)).hexdigest()}:{literal}"


def _plain(value: Any) -> Any:
    """The same value with whole floats as integers: JSON has only one kind of number."""
    kind = value.__class__
    if kind is dict:
        return {name: _plain(each) for name, each in value.items()}
    if kind is list:
        return [_plain(each) for each in value]
    return int(value) if kind is float and value.is_integer() else value


def _written(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number of more than 64 bits
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
