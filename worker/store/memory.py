"""Redis' memory: how much is used, and whether an error means that it is full. A full Redis refuses writes."""

import asyncio
from dataclasses import dataclass

from redis.exceptions import OutOfMemoryError

from worker.store import keys
from worker.store.lane import Lane, RedisUnavailable


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use, as Redis counts them, and its `maxmemory` in bytes (0: not set)."""

    used: int
    most: int
    machine: int = 0
    """Bytes of memory of its machine."""

    @property
    def share(self) -> float:
        """The used share, 0 to 1 or slightly more; 0 if there is no limit."""
        return self.used / self.most if self.most else 0.0

    def room(self, share: float) -> int:
        """Bytes that are left of that share of `maxmemory`, or of the machine's memory if none is set."""
        return max(0, int((self.most or self.machine) * share) - self.used)


def parse_memory(info: str) -> Memory:
    """`INFO memory` as a Memory."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    # buffers for replicas and the append-only file do not count
    used = int(facts.get("used_memory", 0)) - int(facts.get("mem_not_counted_for_evict", 0))
    return Memory(used, int(facts.get("maxmemory", 0)), int(facts.get("total_system_memory", 0)))


async def memory_of(lane: Lane) -> Memory:
    """The memory now. Raises RedisUnavailable where Redis is away."""
    return parse_memory((await lane.call("INFO", "memory")).decode())


async def tenant_bytes(lane: Lane, tenant: str) -> int:
    """Bytes that a tenant's jobs and the rows of its Idempotency-Keys use."""
    jobs, rows = await asyncio.gather(
        lane.call("HGET", keys.BYTES(), tenant), lane.call("HGET", keys.KEY_ROWS(tenant), "total")
    )
    return int(jobs or 0) + int(rows or 0)


async def tenants_bytes(lane: Lane, default: int, room: int) -> list[tuple[str, int, int]]:
    """(tenant, bytes used, bytes that it may use; 0: no limit) of all tenants.

    `default`: the limit of a tenant without its own; 0: three times what is left of `room`, where there are several.
    """
    names = sorted(name.decode() for name in await lane.call("SMEMBERS", keys.TENANTS()))
    found = []
    for name in names:
        own = await lane.call("HGET", keys.TENANT(name), "bytes")
        used = await tenant_bytes(lane, name)
        shared = default or (limit_by_room(used, room) if len(names) > 1 else 0)
        found.append((name, used, shared if own is None else int(own)))
    return found


def limit_by_room(used: int, room: int) -> int:
    """Three times what will be left free then: n tenants that use all they may get 3/(3n+1) each. As lua/accept.lua."""
    return (used + room) * 3 // 4


def is_out_of_memory(error: RedisUnavailable) -> bool:
    """Whether Redis answered that it has no memory; then nothing was done."""
    return isinstance(error.__cause__, OutOfMemoryError)
