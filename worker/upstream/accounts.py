"""The upstream accounts of this installation, by names that may be shown. Their file may change at run time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from config.settings import Settings, stop

log = structlog.get_logger()


class BadKeys(ValueError):
    """The text is not a list of keys. Says why, without repeating any of it."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account or server of the upstream."""

    name: str
    """The first digits of the key's SHA-256: stable over restarts, and reveals nothing."""
    base_url: str
    key: str = field(repr=False)

    @property
    def server(self) -> str:
        """A short hash of the base address, because request ids are unique on one server only.

        Different spellings are one server: capital letters in the host, the default port of the scheme.
        """
        parts = urlsplit(self.base_url)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        port = "" if parts.port in (None, usual) else f":{parts.port}"
        address = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        return sha256(address.encode()).hexdigest()[:8]


class Accounts:
    """The accounts of DARKROOM_UPSTREAM_KEY; with `@file`, of that file as it is now.

    An account that leaves the file gets no more jobs. It stays known while this process runs, so that jobs that it
    submitted can still be fetched with it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known = upstream_pool(settings)
        self.used = tuple(self._known)
        """Names of the accounts that may get jobs."""

    @property
    def keys(self) -> Iterator[str]:
        """The keys of all accounts that this process ever had."""
        return (account.key for account in self._known.values())

    def account(self, name: str) -> Account | None:
        """The account with that name; None if this process never had it. No other account may use its place."""
        return self._known.get(name)

    def account_to_ask(self, name: str, server: str | None) -> Account | None:
        """The account to ask about a request: the one that submitted it, or another one of the same server.

        A rotated key has a new name and the same server. On another server the same request id is somebody else's
        image; so without an account of that server the result is None.
        """
        stand_ins = (self._known[each] for each in self.used if self._known[each].server == server)
        return self._known.get(name) or next(stand_ins, None)

    def refresh(self) -> None:
        """Reads the file again, if there is one. An invalid file changes nothing."""
        try:
            keys = _read(self._settings)
        except BadKeys as error:
            log.warning("upstream.keys_unusable", reason=str(error))
            return
        added, gone = keys.keys() - set(self.used), set(self.used) - keys.keys()
        if added or gone:
            log.info("upstream.keys_changed", added=sorted(added), gone=sorted(gone))
        self._known |= keys
        self.used = tuple(keys)


def upstream_pool(settings: Settings) -> dict[str, Account]:
    """The accounts of DARKROOM_UPSTREAM_KEY by name; stops the process if there is none."""
    try:
        return _read(settings)
    except BadKeys as error:
        stop(f"DARKROOM_UPSTREAM_KEY {error}.")


def upstream_hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts of the servers that are configured now; images come from there as well."""
    try:
        urls = {each.base_url for each in _read(settings).values()}
    except BadKeys:
        urls = {settings.upstream_url}
    return tuple(sorted(host for url in urls if (host := urlsplit(url).hostname)))


def _read(settings: Settings) -> dict[str, Account]:
    text = settings.upstream_key.get_secret_value()
    if text.startswith("@"):
        text = _file(text[1:]).replace("\n", ",")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise BadKeys("is not set: give the enterprise key, a comma list of keys or url|key pairs, or @file")
    return {each.name: each for each in (_parse(part, settings.upstream_url) for part in parts)}


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadKeys(f"names a file that cannot be read ({type(error).__name__})") from None


def _parse(part: str, default_url: str) -> Account:
    url, bar, key = part.rpartition("|")
    base_url = url.rstrip("/") if bar else default_url
    if not base_url.startswith(("http://", "https://")) or not key:
        raise BadKeys("has a pair that is not url|key with an http(s) address")
    return Account("key-" + sha256(f"{base_url}|{key}".encode()).hexdigest()[:8], base_url, key)
