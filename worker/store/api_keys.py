"""API keys made by the operator: stored in Redis by their SHA-256, each with its tenant and scopes.

The key itself is shown once, when it is made, and is stored nowhere.
"""

import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple, get_args

import orjson

from worker.job.record import Milliseconds
from worker.store.lane import Lane
from worker.store.script import script

Scope = Literal["submit", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
TENANT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TENANT_ALLOWED = "1 to 63 of a-z 0-9 _ -, beginning with a letter or a digit"
MOST_KEYS = 5000
"""Most keys, because every API process holds a copy of all."""
ID_LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 8
MADE_KEY = re.compile(r"dk_[a-z0-9]{8}[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Key:
    """The record of a key. `id` is the beginning of the key: enough to name it, too little to use it."""

    id: str
    tenant: str
    scopes: tuple[Scope, ...]
    name: str = ""
    created_at: Milliseconds | None = None
    expires_at: Milliseconds | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key has that scope; `admin` includes all."""
        return scope in self.scopes or "admin" in self.scopes

    def expired(self, now: Milliseconds) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and self.expires_at <= now


Keys = Mapping[bytes, Key]
"""Keys by the SHA-256 of their text."""


class Kept(NamedTuple):
    """Whether there was room for a key."""

    kept: bool


class Changed(NamedTuple):
    """The current version, and the records by digest in hex; nothing if the given version is current."""

    version: bytes | None = None
    records: dict[bytes, bytes] | None = None


@script(new_load=True)
def make_key(*, digest: str, record: bytes, most: int, version: str) -> Kept:
    """Stores a key under the SHA-256 of its text, in hex; changes the version."""


@script
def changed_keys(*, known: bytes) -> Changed:
    """All keys, unless the given version is the current one."""


@script
def drop_keys(*, version: str, digests: Sequence[str]) -> None:
    """Revokes keys; changes the version."""


class TooManyKeys(Exception):
    """The installation has MOST_KEYS keys already."""


def digest_of(key: str) -> bytes:
    """The SHA-256 of any text that may be a key."""
    return sha256(key.encode(errors="surrogatepass")).digest()


def is_made_key(text: str) -> bool:
    """Whether the text has the form of our keys; checked before anything is looked up with it."""
    return MADE_KEY.fullmatch(text) is not None


def new_key() -> tuple[str, str]:
    """(key, id): the key has 256 random bits beside its id."""
    key_id = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
    return f"dk_{key_id}{secrets.token_urlsafe(32)}", key_id


def encode_key(key: Key) -> bytes:
    """The record as JSON."""
    return orjson.dumps({name: getattr(key, name) for name in Key.__slots__})


def decode_key(record: bytes) -> Key:
    """The record from its JSON. A scope that this version does not know is ignored."""
    values = orjson.loads(record)
    values["scopes"] = tuple(scope for scope in values["scopes"] if scope in SCOPES)
    return Key(**{name: values[name] for name in Key.__slots__ if name in values})


class KeyStore:
    """The keys in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def changed(self, version: bytes | None) -> tuple[bytes, Keys] | None:
        """(version, all keys), or None if the given version is the current one."""
        found = await self._lane.run(changed_keys, known=b"none" if version is None else version)
        if found.version is None or found.records is None:
            return None
        records = found.records.items()
        return found.version, {bytes.fromhex(digest.decode()): decode_key(record) for digest, record in records}

    async def all(self) -> Keys:
        """Every key, by its SHA-256."""
        changed = await self.changed(None)
        return changed[1] if changed else {}

    async def make(
        self, tenant: str, scopes: tuple[Scope, ...], name: str = "", lasts: Milliseconds | None = None
    ) -> tuple[str, Key]:
        """(new key, its record); the key is shown this once. Raises TooManyKeys."""
        now = await self._now()
        text, key_id = new_key()
        key = Key(key_id, tenant, scopes, name, now, None if lasts is None else now + lasts)
        digest = digest_of(text).hex()
        version = secrets.token_hex(8)
        made = await self._lane.run(make_key, digest=digest, record=encode_key(key), most=MOST_KEYS, version=version)
        if not made.kept:
            raise TooManyKeys
        return text, key

    async def revoke(self, key_id: str) -> Key | None:
        """Revokes a key. None if there is no such id."""
        found = {digest: key for digest, key in (await self.all()).items() if key.id == key_id}
        if not found:
            return None
        await self._lane.run(drop_keys, version=secrets.token_hex(8), digests=[digest.hex() for digest in found])
        return next(iter(found.values()))

    async def _now(self) -> Milliseconds:
        seconds, microseconds = await self._lane.call("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000
