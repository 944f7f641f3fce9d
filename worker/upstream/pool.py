"""The upstream keys of this installation, by names that may be shown. Pure."""

from dataclasses import dataclass, field
from hashlib import sha256

from config.settings import Settings, stop


@dataclass(frozen=True, slots=True)
class UpstreamKey:
    """One account or server of the upstream."""

    name: str
    """First digits of the key's SHA-256: stable over restarts, tells nothing."""
    base_url: str
    key: str = field(repr=False)


def upstream_pool(settings: Settings) -> dict[str, UpstreamKey]:
    """The keys of DARKROOM_UPSTREAM_KEY by name; stops the process where there is none."""
    parts = [part.strip() for part in settings.upstream_key.get_secret_value().split(",") if part.strip()]
    if not parts:
        stop("DARKROOM_UPSTREAM_KEY is not set: give the enterprise key, or a comma list of keys or url|key pairs.")
    return {each.name: each for each in (_parse(part, settings.upstream_url) for part in parts)}


def _parse(part: str, default_url: str) -> UpstreamKey:
    url, bar, key = part.rpartition("|")
    base_url = url.rstrip("/") if bar else default_url
    if not base_url.startswith(("http://", "https://")) or not key:
        stop("DARKROOM_UPSTREAM_KEY has a pair that is not url|key with an http(s) address.")
    return UpstreamKey("key-" + sha256(f"{base_url}|{key}".encode()).hexdigest()[:8], base_url, key)
