"""Sends webhook deliveries: signed POSTs by the Standard Webhooks specification; each try is a row of its delivery.

Nothing here changes a job. The `webhook-id` is the same for all tries, the timestamp is that of the try.
"""

import asyncio
import random
import time
from typing import Any

import httpx
import orjson
import structlog

from config.settings import Settings
from worker.crash_points import Point, reached
from worker.network.addresses import AddressRefused, check_url
from worker.network.transport import open_transport
from worker.telling.deliveries import DeliveryStore
from worker.telling.record import Claim, Delivery, Target
from worker.telling.schedule import Next, Try, after_try
from worker.telling.secrets import WebhookSecrets, signature_header

log = structlog.get_logger()

TIMEOUT_SECONDS = 15.0
KEPT_ANSWER_BYTES = 200
MOST_ANSWER_BYTES = 20_000


class Notifier:
    """Sends deliveries that may be sent now."""

    def __init__(self, settings: Settings, deliveries: DeliveryStore, secrets: WebhookSecrets) -> None:
        self._settings = settings
        self.deliveries = deliveries
        self._secrets = secrets
        self._client = httpx.AsyncClient(
            transport=open_transport(settings, to_callers=True),
            timeout=httpx.Timeout(TIMEOUT_SECONDS),
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def tell(self, delivery_id: str, target: Target, payload: dict[str, Any]) -> None:
        """One try, if its claim succeeds. If not, the delivery's due time or its line brings it back."""
        claim = await self.deliveries.claim(delivery_id, target)
        if claim.delivery and claim.verdict == "claimed":
            await self.send(claim, target, payload)
        elif claim.verdict == "endpoint_disabled":
            log.info("delivery.endpoint_disabled", delivery_id=delivery_id, endpoint=target.endpoint)

    async def send(self, claim: Claim, target: Target, payload: dict[str, Any]) -> Next:
        """One try and its row. Returns what follows from it."""
        delivery = claim.delivery
        assert delivery is not None  # noqa: S101 - a claimed one has it
        body = orjson.dumps(payload)
        # read before the try: if Redis is away, that is no failure of the receiver
        headers = await self._headers(delivery, target.tenant, body)
        outcome = await self._post(target.url, headers, body)
        reached(Point.CALLER_TOLD)
        following = after_try(delivery.tries - delivery.replayed_after + 1, outcome, random.random())
        disabled = await self.deliveries.keep(delivery, target, claim.at, outcome, following)
        log.info("delivery.attempted", delivery_id=delivery.id, job_id=delivery.job_id, state=following.state,
                 status=outcome.status, error=outcome.error, seconds=outcome.seconds)  # fmt: skip
        if disabled:
            log.warning("endpoint.disabled", tenant=target.tenant, endpoint=target.endpoint, reason=disabled)
        return following

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Try:
        """Every error is a failed try with its row: an error that escaped would be retried for ever."""
        began = time.monotonic()
        try:
            check_url(
                url, allow_private=self._settings.allow_private_addresses, https_only=self._settings.webhooks_https_only
            )
            # limits the whole try: an answer that comes byte by byte would hold its place for ever
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._client.stream("POST", url, content=body, headers=headers) as r,
            ):
                answer = await _first_bytes(r)
            return Try(r.status_code, None, answer, _since(began), _retry_after(r.headers.get("retry-after")))
        except Exception as error:  # noqa: BLE001 - a caller's URL reaches many parsers: idna's, httpx', yarl's
            # only the class, and a refused address reads like one that nobody answers at: why would reveal our network
            kind = "ConnectError" if isinstance(error, AddressRefused) else type(error).__name__
            return Try(None, kind, "", _since(began), None)

    async def _headers(self, delivery: Delivery, tenant: str, body: bytes) -> dict[str, str]:
        signing = await self._secrets.of(tenant)
        timestamp = int(time.time())  # receivers compare it with their own clocks, so it is not the time of our records
        return {
            "content-type": "application/json",
            "user-agent": "darkroom",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_header(list(signing.secrets), delivery.id, timestamp, body),
        }


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
    return float(value) if value and value.isascii() and value.isdigit() and len(value) < 8 else None
