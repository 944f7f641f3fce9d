"""Flow control by an operator: pause and resume, limits, weights and budgets of tenants, drained accounts.

Values that are set here are in Redis. They take effect at once in every process, and survive restarts and deployments.
Where nothing is set, the settings apply. Every change hands out the jobs that it makes possible.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from worker.job.cost import day_of
from worker.job.record import Milliseconds
from worker.store import keys
from worker.store.jobs import JobStore
from worker.store.lane import Lane
from worker.store.memory import tenant_bytes
from worker.store.script import script

TENANT_LIMITS = ("rate", "burst", "waiting", "images_day", "images_month", "bytes")
CUT = ("uncut", "cut_of")
"""What is known of an account's limit while only one tenant was told that its queue is full."""
Limit = Literal["rate", "burst", "waiting", "images_day", "images_month", "bytes", "weight"]


@script
def pause(*, tenant: str, reason: str | None) -> None:
    """Takes a tenant out of the queue; without a reason, puts it back."""


@dataclass(frozen=True, slots=True)
class AccountFlow:
    """One upstream account as it is used now."""

    name: str
    held: int
    limit: int
    learned: bool
    override: int | None
    drained: str | None
    paused_until: Milliseconds
    reason: str
    held_tenant: str
    """The one tenant whose jobs are held back until `paused_until`; empty: everybody's."""
    seen: Milliseconds


@dataclass(frozen=True, slots=True)
class Used:
    """The images that a tenant has used on a day or in a month."""

    period: str
    open: int
    spent: int


@dataclass(frozen=True, slots=True)
class TenantFlow:
    """One tenant: its waiting jobs, its used budget, and what an operator has set for it."""

    name: str
    waiting: int
    bytes: int
    """What its jobs and the rows of its Idempotency-Keys use in Redis."""
    paused: str | None
    weight: float
    limits: dict[str, float]
    day: Used
    month: Used


class FlowControl:
    """Reads and changes flow control. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, store: JobStore) -> None:
        self._lane = lane
        self._store = store

    async def pause(self, reason: str) -> None:
        """Stops handing out jobs; jobs upstream continue, and jobs are accepted."""
        await self._lane.write("SET", keys.PAUSED(), reason)

    async def resume(self) -> None:
        """Hands out jobs again."""
        await self._lane.write("DEL", keys.PAUSED())
        await self._store.queue.tick()

    async def pause_tenant(self, tenant: str, reason: str | None) -> None:
        """Pauses a tenant with that reason. None resumes it; the pause gives it no credit."""
        await self._lane.write("SADD", keys.TENANTS(), tenant)
        await self._lane.run(pause, tenant=tenant, reason=reason)
        await self._store.queue.tick()

    async def drain(self, upstream: str, reason: str | None) -> bool:
        """Drains an account: it gets no more jobs. None takes it into use again. False: there is no such account."""
        if not await self._known(upstream):
            return False
        key = keys.UPSTREAM(upstream)
        await (self._lane.write("HSET", key, "drained", reason) if reason else self._lane.write("HDEL", key, "drained"))
        await self._store.queue.tick()
        return True

    async def limit_upstream(self, upstream: str, limit: int | None) -> bool:
        """Sets the places of an account, over the configuration; None returns to the configuration (or to learning)."""
        if not await self._known(upstream):
            return False
        key = keys.UPSTREAM(upstream)
        if limit is None:
            await self._lane.write("HDEL", key, "override", "learned", "probing", *CUT)  # a worker sets it again
        else:
            await self._lane.write("HSET", key, "override", limit, "limit", limit, "learned", 0)
            await self._lane.write("HDEL", key, "probing", *CUT)
        await self._store.queue.tick()
        return True

    async def limit_tenant(self, tenant: str, what: Limit, value: float | None) -> None:
        """Sets one limit of a tenant (0: no limit) or its weight; None returns to the settings."""
        await self._lane.write("SADD", keys.TENANTS(), tenant)
        key, field = (keys.FAIR_WEIGHTS(), tenant) if what == "weight" else (keys.TENANT(tenant), what)
        await (self._lane.write("HDEL", key, field) if value is None else self._lane.write("HSET", key, field, value))

    async def paused(self) -> str | None:
        """Why everything is paused, or None."""
        reason = await self._lane.call("GET", keys.PAUSED())
        return None if reason is None else reason.decode()

    async def accounts(self) -> list[AccountFlow]:
        """All upstream accounts, by name."""
        names = sorted(name.decode() for name in await self._lane.call("SMEMBERS", keys.UPSTREAMS()))
        return [await self._account(name) for name in names]

    async def tenants(self) -> list[str]:
        """Names of tenants that ever had a job, or for which something is set."""
        return sorted(name.decode() for name in await self._lane.call("SMEMBERS", keys.TENANTS()))

    async def tenant(self, name: str) -> TenantFlow:
        """One tenant; an unknown one has nothing waiting and nothing set."""
        known = _texts(await self._lane.call("HGETALL", keys.TENANT(name)))
        weight = await self._lane.call("HGET", keys.FAIR_WEIGHTS(), name)
        used = await self._used(name, today := day_of(self._store.now()))
        return TenantFlow(
            name=name,
            waiting=int(await self._lane.call("HGET", keys.BACKLOGS(), name) or 0),
            bytes=await tenant_bytes(self._lane, name),
            paused=known.get("paused"),
            weight=float(weight or 1),
            limits={limit: float(known[limit]) for limit in TENANT_LIMITS if limit in known},
            day=used[-1],
            month=_sum(today[:7], used),
        )

    async def _known(self, upstream: str) -> bool:
        return bool(await self._lane.call("SISMEMBER", keys.UPSTREAMS(), upstream))

    async def _account(self, name: str) -> AccountFlow:
        known = _texts(await self._lane.call("HGETALL", keys.UPSTREAM(name)))
        return AccountFlow(
            name=name,
            held=int(await self._lane.call("ZCARD", keys.PLACES(name))),
            limit=int(known.get("limit", 0)),
            learned=known.get("learned") == "1",
            override=int(known["override"]) if "override" in known else None,
            drained=known.get("drained"),
            paused_until=int(known.get("paused_until", 0)),
            reason=known.get("reason", ""),
            held_tenant=known.get("of", ""),
            seen=int(known.get("seen", 0)),
        )

    async def _used(self, tenant: str, today: str) -> list[Used]:
        """Every day of the month until today."""
        days = [f"{today[:7]}-{day:02}" for day in range(1, int(today[8:]) + 1)]
        booked = (self._lane.call("HMGET", keys.USAGE(tenant, day), "open", "spent") for day in days)
        rows = await asyncio.gather(*booked)
        return [Used(day, *(int(value or 0) for value in row)) for day, row in zip(days, rows, strict=True)]


def _sum(period: str, days: list[Used]) -> Used:
    return Used(period, sum(day.open for day in days), sum(day.spent for day in days))


def _texts(reply: dict[bytes, bytes] | list[bytes]) -> dict[str, str]:
    """A hash in the form of RESP3 or of RESP2."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}
