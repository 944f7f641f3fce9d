"""Telling the caller: signed POSTs by the Standard Webhooks specification, tried over two days, each try a row.

Its own track: nothing here changes a job's status. The id stays the same over all tries, the timestamp does not.
Source of headers and signature: Standard Webhooks 1.0.0; of the schedule: Svix.
"""

import asyncio
import hmac
import random
import secrets
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx
import orjson
import structlog

from config.settings import Settings
from worker.addresses import AddressRefused, check_url
from worker.lane import Lane, Script
from worker.recovery import Point, reached
from worker.upstream.transport import open_transport

log = structlog.get_logger()

SCHEDULE_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""Pauses before each try; ±20 % so that an outage's end is no stampede."""
TIMEOUT_SECONDS = 15.0
LONGEST_RETRY_AFTER_SECONDS = 36_000
KEPT_ANSWER_BYTES = 200
CLAIM_MS = 30_000
"""Longer than a try can last: a worker that died in one gives it back."""
CLAIM_DELIVERY = Script("clock", "claim_delivery")
KEEP_TRY = Script("clock", "keep_try")
MOST_ANSWER_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell one caller."""

    id: str
    job_id: str
    state: str
    attempts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Try:
    """What one POST to the caller came to."""

    status: int | None
    error: str | None
    answer: str
    seconds: float
    retry_after: float | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a try: the delivery's state, and for `pending` the pause before the next one."""

    state: str
    pause_seconds: float | None = None


def after_try(tries: int, last: Try, chance: float) -> Next:
    """Whether and when to tell again. Pure; `chance` is 0 to 1."""
    if last.delivered:
        return Next("delivered")
    if last.status == 410:
        return Next("gone")
    if tries >= len(SCHEDULE_SECONDS):
        return Next("exhausted")
    pause = SCHEDULE_SECONDS[tries] * (0.8 + 0.4 * chance)
    if last.retry_after and last.status in (429, 503):
        pause = max(pause, min(last.retry_after, LONGEST_RETRY_AFTER_SECONDS))
    return Next("pending", pause)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of the `webhook-signature` header, with a `whsec_…` secret."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, sha256)).decode()


def new_webhook_secret() -> str:
    """A fresh `whsec_…` secret of 32 random bytes."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


class Notifier:
    """Sends, and keeps a row for each try in Redis."""

    def __init__(self, settings: Settings, lane: Lane) -> None:
        self._settings = settings
        self._lane = lane
        self._client = httpx.AsyncClient(
            transport=open_transport(settings), timeout=httpx.Timeout(TIMEOUT_SECONDS), trust_env=False
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def claim(self, delivery_id: str) -> Delivery | None:
        """The delivery, for one try that is due now and nobody else's; None where there is none."""
        _, flat = await self._lane.run(CLAIM_DELIVERY, delivery_id, CLAIM_MS)
        row = dict(zip(flat[::2], flat[1::2], strict=True))
        if not row:
            return None
        attempts = tuple(orjson.loads(row.get(b"attempts", b"[]")))
        return Delivery(delivery_id, row[b"job"].decode(), row[b"state"].decode(), attempts)

    async def send(self, delivery: Delivery, url: str, payload: dict[str, Any]) -> Next:
        """One try, its row, and what follows from it."""
        outcome = await self._post(delivery.id, url, orjson.dumps(payload))
        reached(Point.CALLER_TOLD)
        following = after_try(len(delivery.attempts) + 1, outcome, random.random())
        await self._keep(delivery, outcome, following)
        log.info("delivery.attempted", delivery_id=delivery.id, job_id=delivery.job_id, state=following.state,
                 status=outcome.status, error=outcome.error, seconds=outcome.seconds)  # fmt: skip
        return following

    async def close(self, delivery_id: str, state: str) -> None:
        """Ends a delivery that cannot be made."""
        await self._lane.call("HSET", f"delivery:{delivery_id}", "state", state)
        await self._lane.call("ZREM", "deliveries:due", delivery_id)

    async def signing_secrets(self) -> list[str]:
        """The configured secrets, or the one that was made at the first start and is kept in Redis."""
        configured = self._settings.webhook_secret.get_secret_value()
        if configured:
            return [part.strip() for part in configured.split(",") if part.strip()]
        await self._lane.call("SET", "webhook_secret", new_webhook_secret(), "NX")
        return [(await self._lane.call("GET", "webhook_secret")).decode()]

    async def _post(self, message_id: str, url: str, body: bytes) -> Try:
        began = time.monotonic()
        try:
            check_url(url, allow_private=self._settings.allow_private_addresses)
            headers = await self._headers(message_id, body)
            # over all of it: an answer that drips would hold a thread for ever
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._client.stream("POST", url, content=body, headers=headers) as r,
            ):
                answer = await _first_bytes(r)
            return Try(r.status_code, None, answer, _since(began), _retry_after(r.headers.get("retry-after")))
        except (httpx.HTTPError, httpx.InvalidURL, AddressRefused, TimeoutError, OSError) as error:
            # the kind only: why an address is refused would tell a caller what our network looks like
            kind = "AddressRefused" if isinstance(error, AddressRefused) else type(error).__name__
            return Try(None, kind, "", _since(began), None)

    async def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        signatures = [sign(secret, message_id, timestamp, body) for secret in await self.signing_secrets()]
        return {
            "content-type": "application/json",
            "user-agent": "darkroom",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }

    async def _keep(self, delivery: Delivery, outcome: Try, following: Next) -> None:
        row = {
            "at": int(time.time() * 1000),
            "status": outcome.status,
            "error": outcome.error,
            "answer": outcome.answer,
            "seconds": outcome.seconds,
            "next_in": following.pause_seconds,
        }
        rows = orjson.dumps([*delivery.attempts, row])
        pause = "" if following.pause_seconds is None else int(following.pause_seconds * 1000)
        await self._lane.run(KEEP_TRY, delivery.id, len(delivery.attempts), rows, following.state, pause)


async def _first_bytes(response: httpx.Response) -> str:
    kept = b""
    async for chunk in response.aiter_raw():
        kept += chunk
        if len(kept) >= MOST_ANSWER_BYTES:
            break
    return kept[:KEPT_ANSWER_BYTES].decode(errors="replace")


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _retry_after(value: str | None) -> float | None:
    return float(value) if value and value.isdigit() and len(value) < 8 else None
