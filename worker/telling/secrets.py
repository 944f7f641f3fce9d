"""Signing secrets of webhook deliveries (Standard Webhooks 1.0.0): one per tenant, two during a rotation.

A tenant's own secrets are in Redis. A tenant without its own uses DARKROOM_WEBHOOK_SECRET. If that is not set, a shared
secret is made at the first start. Secrets are never logged, and never in a Celery argument.
"""

import binascii
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from config.settings import Settings
from worker.job.record import Milliseconds
from worker.store import keys
from worker.store.lane import Lane
from worker.store.script import script

OVERLAP_MS = 24 * 3_600_000
"""How long the old secret still signs after a rotation."""
MOST_AT_ONCE = 5
FOREVER = float("inf")


class Own(NamedTuple):
    """A tenant's own secrets, newest first, each with the ms until which it signs."""

    until_by_secret: dict[str, float]


@script
def secrets_of(*, tenant: str) -> Own:
    """The secrets that sign for a tenant now."""


@script
def rotate_secret(
    *, tenant: str, secret: str, overlap_ms: Milliseconds, most: int, signed_so_far: Sequence[str]
) -> None:
    """Makes a new secret. Older ones still sign for so long, at most so many; `signed_so_far`: if it had none."""


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of the `webhook-signature` header, with a `whsec_…` secret."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, sha256)).decode()


def signature_header(secrets_: list[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The whole `webhook-signature` header; a receiver accepts it if one of the signatures verifies."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_)


def new_webhook_secret() -> str:
    """A fresh `whsec_…` secret of 32 random bytes."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


def is_webhook_secret(text: str) -> bool:
    """Whether it is `whsec_` and base64, as the specification says."""
    try:
        return text.startswith("whsec_") and len(b64decode(text.removeprefix("whsec_"), validate=True)) > 0
    except (binascii.Error, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Signing:
    """The secrets that sign for a tenant now, newest first."""

    secrets: tuple[str, ...] = field(repr=False)
    own: bool
    """True: the tenant's own secrets. False: those shared by all tenants without their own."""
    previous_until: Milliseconds | None = None
    """Until when the older secrets still sign."""


class WebhookSecrets:
    """Reads and rotates the secrets. See the module."""

    def __init__(self, settings: Settings, lane: Lane) -> None:
        self._settings = settings
        self._lane = lane

    async def of(self, tenant: str) -> Signing:
        """The secrets that sign for the tenant now."""
        own = (await self._lane.run(secrets_of, tenant=tenant)).until_by_secret
        if not own:
            return Signing(tuple(await self.shared()), own=False)
        until = [each for each in own.values() if each != FOREVER]
        return Signing(tuple(own), own=True, previous_until=int(max(until, default=0)) or None)

    async def rotate(self, tenant: str) -> Signing:
        """Gives the tenant a new secret; the previous ones still sign for a day."""
        before = [] if (signing := await self.of(tenant)).own else list(signing.secrets)
        await self._lane.run(
            rotate_secret,
            tenant=tenant,
            secret=new_webhook_secret(),
            overlap_ms=OVERLAP_MS,
            most=MOST_AT_ONCE,
            signed_so_far=before,
        )
        return await self.of(tenant)

    async def shared(self) -> list[str]:
        """The configured secrets, newest first, or the one that was made at the first start and is kept in Redis."""
        configured = self._settings.webhook_secret.get_secret_value()
        if configured:
            return [part.strip() for part in reversed(configured.split(",")) if part.strip()]
        await self._lane.write("SET", keys.WEBHOOK_SECRET(), new_webhook_secret(), "NX")
        return [(await self._lane.call("GET", keys.WEBHOOK_SECRET())).decode()]
