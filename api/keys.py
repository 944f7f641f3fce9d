"""Authentication and scopes: API keys, known by their SHA-256 only; each belongs to a tenant.

Keys of DARKROOM_API_KEYS have every scope of their tenant. Keys that `darkroom keys` made are in Redis; each API
process holds a copy of them, so that a look-up does not cost every request a round trip.
"""

import asyncio
import hmac
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from fastapi import Request

from api.http.problems import Problem
from config.settings import Settings, stop
from worker.job.record import Milliseconds
from worker.store.api_keys import SCOPES, TENANT_PATTERN, Key, Keys, KeyStore, Scope, digest_of, is_made_key
from worker.store.lane import RedisUnavailable

log = structlog.get_logger()

MIN_KEY_LENGTH = 8
SAFE_KEY_LENGTH = 20
REFRESH_SECONDS = 2.0
"""A revoked key stops within this time and one time-out of Redis; docs/cli.md promises 5 s."""
READ_PAUSE_SECONDS = 0.25
"""Pause between two reads for keys that the copy does not have; however many wrong keys come, they share a read."""
UNAUTHORIZED = "Send a valid key as `Authorization: Bearer <api key>`."


class KeyRing:
    """The configured keys, and a copy of the keys in Redis.

    While Redis is away the copy stays in use: nothing can be accepted or shown meanwhile anyway.
    """

    def __init__(self, configured: Keys, store: KeyStore, now: Callable[[], Milliseconds]) -> None:
        self._configured = configured
        self._store = store
        self._now = now
        self._version: bytes | None = None
        self._read_at = -READ_PAUSE_SECONDS
        self._reading = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None
        self._failure: RedisUnavailable | None = None
        self._take({})

    @property
    def has_several_tenants(self) -> bool:
        """Whether keys of more than one tenant exist."""
        return self._has_several_tenants

    def start(self) -> None:
        """Starts to refresh the copy, on the running event loop."""
        self._refreshing = asyncio.create_task(self._refresh_for_ever())

    async def aclose(self) -> None:
        """Stops refreshing."""
        if self._refreshing:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def find(self, text: str) -> Key | None:
        """The key, or None if it is not valid. Raises RedisUnavailable if only Redis could tell and it is away."""
        digest = digest_of(text)
        key = self._known(digest)
        if key is None and is_made_key(text):  # it may have been made a moment ago
            await self._read_after(time.monotonic())
            key = self._known(digest)
        return key

    def _known(self, digest: bytes) -> Key | None:
        # the look-up is by hash, which nobody can steer: its time reveals nothing about a key
        kept = self._keys.get(digest)
        if kept is None or not hmac.compare_digest(kept[0], digest) or kept[1].expired(self._now()):
            return None
        return kept[1]

    async def _read_after(self, asked_at: float) -> None:
        """Returns when a read that began after that moment is done; concurrent calls share one read."""
        async with self._reading:
            if self._read_at < asked_at:
                await asyncio.sleep(max(0.0, self._read_at + READ_PAUSE_SECONDS - time.monotonic()))
                await self._read()
            if self._failure:  # a failure is shared as well, so that nobody waits for several time-outs
                raise RedisUnavailable(str(self._failure)) from self._failure

    async def _read(self) -> None:
        self._read_at, self._failure = time.monotonic(), None
        try:
            changed = await self._store.changed(self._version)
        except RedisUnavailable as error:
            self._failure = error
            return
        if changed:
            self._version, copy = changed
            self._take(copy)

    def _take(self, copy: Keys) -> None:
        self._keys = {digest: (digest, key) for digest, key in {**copy, **self._configured}.items()}
        self._has_several_tenants = len({key.tenant for _, key in self._keys.values()}) > 1

    async def _refresh_for_ever(self) -> None:
        while True:
            try:
                async with self._reading:
                    await self._read()
            except Exception as error:  # noqa: BLE001 - a copy that is never read again keeps revoked keys alive
                log.error("keys.unreadable", kind=type(error).__name__)
            await asyncio.sleep(REFRESH_SECONDS)


async def authenticate(request: Request, scope: Scope) -> str:
    """The tenant of the request's `Authorization: Bearer` key.

    Raises Problem `unauthorized` (the same for a missing, unknown, revoked or expired key), or `forbidden` if the key
    is valid and lacks the scope.
    """
    return await authenticate_key(request, bearer_of(request), scope)


def bearer_of(request: Request) -> str:
    """What follows `Authorization: Bearer`; empty where nothing does, or where two fields say who it is."""
    given = request.headers.getlist("authorization")
    scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return text.strip() if scheme.lower() == "bearer" else ""


async def authenticate_key(request: Request, text: str, scope: Scope) -> str:
    """The tenant of a key, from a header or a body; raises as `authenticate` does."""
    ring: KeyRing = request.scope["state"]["keys"]
    key = await ring.find(text) if text else None
    if key is None:
        raise Problem("unauthorized", UNAUTHORIZED)
    if not key.allows(scope):
        raise Problem("forbidden", f"This needs a key with the scope `{scope}`.")
    return key.tenant


def configured_keys(settings: Settings) -> Keys:
    """The keys of DARKROOM_API_KEYS, with every scope; stops the process if one is malformed."""
    keys: dict[bytes, Key] = {}
    for digest, key in map(_parse, _pairs(settings)):
        if keys.setdefault(digest, key).tenant != key.tenant:
            stop("DARKROOM_API_KEYS gives one key to two tenants: each needs its own.")
    return keys


def tenants_with_short_keys(settings: Settings) -> list[str]:
    """The tenants of DARKROOM_API_KEYS with a key that may be guessed, if it was not made by chance."""
    pairs = (pair.partition(":") for pair in _pairs(settings))
    return sorted({tenant for tenant, _, key in pairs if len(key) < SAFE_KEY_LENGTH})


def _pairs(settings: Settings) -> list[str]:
    text = settings.api_keys.get_secret_value()
    pairs = _file_pairs(text[1:]) if text.startswith("@") else text.split(",")
    return [pair.strip() for pair in pairs if pair.strip()]


def _file_pairs(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        stop("DARKROOM_API_KEYS names a file that is not UTF-8 text.")
    except OSError as error:
        stop(f"DARKROOM_API_KEYS names a file that cannot be read ({error.strerror}).")


def _parse(pair: str) -> tuple[bytes, Key]:
    tenant, _, key = pair.partition(":")
    if not TENANT_PATTERN.fullmatch(tenant) or len(key) < MIN_KEY_LENGTH:
        stop("DARKROOM_API_KEYS must be tenant:key pairs: a tenant of a-z 0-9 _ -, a key of 8 characters or more.")
    return digest_of(key), Key("configured", tenant, SCOPES)
