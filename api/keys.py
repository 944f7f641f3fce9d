"""Who calls: API keys, kept as SHA-256 only, each belonging to a tenant."""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from fastapi import Request

from api.problems import Problem
from config.settings import Settings, stop

TENANT_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MIN_KEY_LENGTH = 8


@dataclass(frozen=True)
class KeyRing:
    """Tenants by the SHA-256 of their keys: looking one up compares hashes, so time tells nothing about a key."""

    tenants: dict[bytes, str] = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The keys of DARKROOM_API_KEYS; stops the process where one is malformed."""
        text = settings.api_keys.get_secret_value()
        pairs = _file_pairs(text[1:]) if text.startswith("@") else text.split(",")
        return cls(dict(_parse(pair.strip()) for pair in pairs if pair.strip()))

    @property
    def has_several_tenants(self) -> bool:
        """Whether there is anybody whom one tenant could keep waiting."""
        return len(set(self.tenants.values())) > 1

    def tenant_of(self, key: str) -> str | None:
        """The tenant that the key belongs to, or None."""
        return self.tenants.get(sha256(key.encode()).digest())


def authenticate(request: Request) -> str:
    """The tenant of the request's `Authorization: Bearer` key. Raises Problem `unauthorized`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    ring: KeyRing = request.scope["state"]["keys"]
    tenant = ring.tenant_of(key.strip()) if scheme.lower() == "bearer" else None
    if tenant is None:
        raise Problem("unauthorized", "Send a valid key as `Authorization: Bearer <api key>`.")
    return tenant


def _file_pairs(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError as error:
        stop(f"DARKROOM_API_KEYS names a file that cannot be read ({error.strerror}).")


def _parse(pair: str) -> tuple[bytes, str]:
    tenant, _, key = pair.partition(":")
    if not TENANT_PATTERN.fullmatch(tenant) or len(key) < MIN_KEY_LENGTH:
        stop("DARKROOM_API_KEYS must be tenant:key pairs: a tenant of a-z 0-9 _ -, a key of 8 characters or more.")
    return sha256(key.encode()).digest(), tenant
