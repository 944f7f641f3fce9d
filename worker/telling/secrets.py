"""Signing secrets of webhook deliveries (Standard Webhooks 1.0.0): one per tenant, two during a rotation.

A tenant's own secrets are in Redis. A tenant without its own uses DARKROOM_WEBHOOK_SECRET. If that is not set, a shared
secret is made at the first start. Secrets are never logged, and never in a Celery argument.
"""

import binascii
import hmac
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256

from config.settings import Settings
from worker.job.record import Milliseconds
from worker.store import keys
from worker.store.lane import Lane
from worker.store.script import positional

OF = positional("secrets_of")
ROTATE = positional("rotate_secret")
OVERLAP_MS = 24 * 3_600_000
"""How long the old secret still signs after a rotation."""
MOST_AT_ONCE = 5
FOREVER = float("inf")


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
        _, flat = await self._lane.run(OF, tenant)
        if not flat:
            return Signing(tuple(await self.shared()), own=False)
        until = [float(score) for score in flat[1::2] if float(score) != FOREVER]
        return Signing(
            tuple(each.decode() for each in flat[::2]), own=True, previous_until=int(max(until, default=0)) or None
        )

    async def rotate(self, tenant: str) -> Signing:
        """Gives the tenant a new secret; the previous ones still sign for a day."""
        before = [] if (signing := await self.of(tenant)).own else list(signing.secrets)
        await self._lane.run(ROTATE, tenant, new_webhook_secret(), OVERLAP_MS, MOST_AT_ONCE, *before)
        return await self.of(tenant)

    async def shared(self) -> list[str]:
        """The configured secrets, newest first, or the one that was made at the first start and is kept in Redis."""
        configured = self._settings.webhook_secret.get_secret_value()
        if configured:
            return [part.strip() for part in reversed(configured.split(",")) if part.strip()]
        await self._lane.write("SET", keys.WEBHOOK_SECRET(), new_webhook_secret(), "NX")
        return [(await self._lane.call("GET", keys.WEBHOOK_SECRET())).decode()]
