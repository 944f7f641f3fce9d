"""Redis' memory: how much is used, and whether an error means that it is full. A full Redis refuses writes."""

from dataclasses import dataclass

from redis.exceptions import OutOfMemoryError

from worker.store.lane import Lane, RedisUnavailable


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use, as Redis counts them, and its `maxmemory` in bytes (0: not set)."""

    used: int
    most: int

    @property
    def share(self) -> float:
        """The used share, 0 to 1 or slightly more; 0 if there is no limit."""
        return self.used / self.most if self.most else 0.0


def parse_memory(info: str) -> Memory:
    """`INFO memory` as a Memory."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    # buffers for replicas and the append-only file do not count
    used = int(facts.get("used_memory", 0)) - int(facts.get("mem_not_counted_for_evict", 0))
    return Memory(used, int(facts.get("maxmemory", 0)))


async def memory_of(lane: Lane) -> Memory:
    """The memory now. Raises RedisUnavailable where Redis is away."""
    return parse_memory((await lane.call("INFO", "memory")).decode())


def is_out_of_memory(error: RedisUnavailable) -> bool:
    """Whether Redis answered that it has no memory; then nothing was done."""
    return isinstance(error.__cause__, OutOfMemoryError)
