"""Webhook deliveries in Redis: every delivery with its tries, claims, replays, disabled endpoints.

Every method is one script or a few commands over the shared lane. The API uses it as well; nothing here sends.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from config.settings import Settings
from worker.job.record import Milliseconds
from worker.store import keys
from worker.store.lane import Lane
from worker.store.push import Push
from worker.telling import scripts
from worker.telling.record import Claim, Cursor, Delivery, Endpoint, Page, Replayed, Target
from worker.telling.schedule import MOST_ROWS_KEPT, Next, Try, try_row

CLAIM_MS = 30_000
"""Lease of a claim, longer than a try can last: if its worker died, another may try after it."""
IN_LINE_MS = 600_000
"""A delivery in line is woken when a place becomes free; after this time it is due in any case."""
LINES_LOOKED_AT = 50
LEAST_UNPROVEN = 16
"""Of a tenant's places, a quarter is for endpoints that have not answered, but never less than this."""
FAILING_MS = 5 * 86_400_000
"""An endpoint that failed for so long, without one success, is disabled."""
QUIET_MS = 2 * 86_400_000
"""Failures further apart do not count as one outage. Longer than the longest pause between two tries."""
REPLAY_PACE_MS = 20
"""Pause between two deliveries of a bulk replay: fifty a second, however many there are."""
MOST_REPLAYED = 10_000
REPLAYED_AT_ONCE = 100
LOOKED_AT_PER_PAGE = 500
"""Both limit how long one script blocks Redis: about ten milliseconds."""


class DeliveryStore:
    """Deliveries in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, settings: Settings, lane: Lane, push: Push) -> None:
        self._lane = lane
        caps = {
            "endpoint": settings.tell_per_endpoint,
            "pair": settings.tell_per_host,
            "tenant": settings.tell_per_tenant,
            "unproven": max(LEAST_UNPROVEN, settings.tell_per_tenant // 4),
            "host": settings.tell_per_shared_host,
        }
        self._push, self._bounds = push, scripts.Bounds(CLAIM_MS, orjson.dumps(caps))

    async def read(self, delivery_id: str) -> Delivery | None:
        """The delivery with its tries, or None if there is none."""
        return _delivery(delivery_id, _fields(await self._lane.call("HGETALL", keys.DELIVERY(delivery_id))))

    async def of_job(self, job_id: str) -> list[Delivery]:
        """The deliveries of a job, oldest first."""
        ids = await self._lane.call("LRANGE", keys.DELIVERIES(job_id), 0, -1)
        found = [await self.read(each.decode()) for each in ids]
        return [each for each in found if each]

    async def page(
        self, tenant: str, *, since: Milliseconds = 0, state: str = "", most: int = 50, cursor: Cursor | None = None
    ) -> Page:
        """A tenant's deliveries made since then. A page may end early with few rows; its cursor continues."""
        at, last = cursor or (None, None)
        page = await self._lane.run(
            scripts.page_deliveries,
            tenant=tenant,
            since=since,
            only=state or None,
            most=most,
            looked_at=LOOKED_AT_PER_PAGE,
            cursor_at=at,
            cursor_id=last,
        )
        found = (_delivery(row.id, row.fields) for row in page.rows)
        return Page(tuple(each for each in found if each), page.last)

    async def claim(self, delivery_id: str, target: Target) -> Claim:
        """Claims one try, if it is due, not claimed, its endpoint is enabled, and a place is free."""
        reply = await self._lane.run(
            scripts.claim_delivery,
            push=self._push,
            bounds=self._bounds,
            delivery_id=delivery_id,
            tenant=target.tenant,
            host=target.host,
            endpoint=target.endpoint,
            in_line_ms=IN_LINE_MS,
        )
        return Claim(reply.verdict, reply.now, _delivery(delivery_id, reply.fields or {}))

    async def keep(self, delivery: Delivery, target: Target, at: Milliseconds, last: Try, following: Next) -> str:
        """Writes the row of one try and frees its place. Returns why this try disabled the endpoint, or None."""
        rows = orjson.dumps([*delivery.attempts, try_row(at, last, following)][-MOST_ROWS_KEPT:])
        kept = await self._lane.run(
            scripts.keep_try,
            push=self._push,
            bounds=self._bounds,
            delivery_id=delivery.id,
            tries=delivery.tries,
            rows=rows,
            state=following.state,
            wait_ms=None if following.pause_seconds is None else int(following.pause_seconds * 1000),
            tenant=target.tenant,
            host=target.host,
            endpoint=target.endpoint,
            address=target.address,
            came_to=last.kind,
            failing_ms=FAILING_MS,
            quiet_ms=QUIET_MS,
        )
        return kept.disabled

    async def look_at_lines(self) -> None:
        """Gives the places of workers that died to deliveries in line."""
        await self._lane.run(scripts.look_at_lines, push=self._push, bounds=self._bounds, most=LINES_LOOKED_AT)

    async def close(self, delivery_id: str, state: str) -> None:
        """Ends a delivery that cannot be sent, in that state."""
        await self._lane.run(scripts.close_delivery, delivery_id=delivery_id, state=state)

    async def replay(self, tenant: str, delivery_id: str) -> str:
        """Replays one delivery now. Returns replayed, under_way (it is being sent), endpoint_disabled or missing."""
        [verdict] = await self._replayed(tenant, [delivery_id])
        return verdict

    async def replay_since(
        self, tenant: str, since: Milliseconds, *, state: str = "", counts_only: bool = False
    ) -> Replayed:
        """Replays all deliveries made since then, oldest first; pace and number are limited."""
        verdicts: list[str] = []
        async for ids in self._made_since(tenant, since):
            if len(verdicts) == MOST_REPLAYED:
                score = await self._lane.call("ZSCORE", keys.DELIVERIES_OF(tenant), ids[0])
                return _replayed(verdicts, int(score or since))
            verdicts += await self._replayed(tenant, ids, REPLAY_PACE_MS, counts_only=counts_only, only=state or None)
        return _replayed(verdicts, None)

    async def endpoints(self, tenant: str) -> list[Endpoint]:
        """The tenant's endpoints, most recently used first."""
        ids = await self._lane.call("ZREVRANGE", keys.ENDPOINTS(tenant), 0, -1)
        found = [await self.endpoint(tenant, each.decode()) for each in ids]
        return [each for each in found if each]

    async def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """One endpoint, or None if it is unknown."""
        row = _fields(await self._lane.call("HGETALL", keys.ENDPOINT(tenant, endpoint_id)))
        return _endpoint(endpoint_id, row) if row else None

    async def enable(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Enables an endpoint; what was not sent meanwhile can be replayed. None if the endpoint is unknown."""
        if await self.endpoint(tenant, endpoint_id) is None:
            return None
        past = ("disabled_at", "reason", "failing_since", "failures", "hung")
        await self._lane.write("HDEL", keys.ENDPOINT(tenant, endpoint_id), *past)
        return await self.endpoint(tenant, endpoint_id)

    async def counts(self) -> dict[str, int]:
        """Deliveries by state, over all tenants."""
        flat = await self._lane.call("HGETALL", keys.DELIVERIES_COUNTS())
        return {name: max(0, int(count)) for name, count in _fields(flat).items()}

    async def _replayed(
        self,
        tenant: str,
        ids: Sequence[str],
        pace_ms: Milliseconds = 0,
        *,
        counts_only: bool = False,
        only: str | None = None,
    ) -> list[str]:
        replayed = await self._lane.run(
            scripts.replay_deliveries,
            tenant=tenant,
            pace_ms=pace_ms,
            counts_only=counts_only,
            only=only,
            delivery_ids=ids,
        )
        return replayed.verdicts

    async def _made_since(self, tenant: str, since: Milliseconds) -> AsyncIterator[list[str]]:
        at = 0
        while ids := await self._lane.call(
            "ZRANGEBYSCORE", keys.DELIVERIES_OF(tenant), since, "+inf", "LIMIT", at, REPLAYED_AT_ONCE
        ):
            yield [each.decode() for each in ids]
            at += len(ids)


def _replayed(verdicts: Sequence[str], next_since: Milliseconds | None) -> Replayed:
    count = sum(verdict == "replayed" for verdict in verdicts)
    return Replayed(count, len(verdicts) - count, next_since)


def _fields(flat: Any) -> dict[str, str]:
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}


def _delivery(delivery_id: str, row: Mapping[str, str]) -> Delivery | None:
    if "job" not in row:
        return None
    waits = row["state"] == "pending" and "not_before" in row
    return Delivery(
        id=delivery_id,
        job_id=row["job"],
        tenant=row.get("tenant", ""),
        state=row["state"],
        created_at=int(row.get("created_at", 0)),
        attempts=tuple(orjson.loads(row.get("attempts", "[]"))),
        tries=int(row.get("tries", 0)),
        replayed_after=int(row.get("round", 0)),
        next_try_at=int(float(row["not_before"])) if waits else None,
        endpoint=row.get("endpoint"),
    )


def _endpoint(endpoint_id: str, row: dict[str, str]) -> Endpoint:
    def at(name: str) -> Milliseconds | None:
        return int(row[name]) if name in row else None

    return Endpoint(
        id=endpoint_id,
        url=row.get("url", ""),
        told_at=at("told_at"),
        failed_at=at("failed_at"),
        failing_since=at("failing_since"),
        failures=int(row.get("failures", 0)),
        disabled_at=at("disabled_at"),
        reason=row.get("reason"),
    )
