"""How much of Redis' memory is used, and whether a refusal came of it. A full Redis evicts nothing, it refuses."""

from dataclasses import dataclass

from redis.exceptions import OutOfMemoryError

from worker.store.lane import Lane, RedisUnavailable


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use, as Redis compares them with its `maxmemory`, and how many may be; 0 where that is not set."""

    used: int
    most: int

    @property
    def share(self) -> float:
        """0 to 1 and a little beyond; 0 where there is no limit."""
        return self.used / self.most if self.most else 0.0


def parse_memory(info: str) -> Memory:
    """`INFO memory` as a Memory."""
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    # what a replica or the append-only file has still to read does not count
    used = int(facts.get("used_memory", 0)) - int(facts.get("mem_not_counted_for_evict", 0))
    return Memory(used, int(facts.get("maxmemory", 0)))


async def memory_of(lane: Lane) -> Memory:
    """As it is now. Raises RedisUnavailable where Redis is away."""
    return parse_memory((await lane.call("INFO", "memory")).decode())


def is_out_of_memory(error: RedisUnavailable) -> bool:
    """Whether Redis answered, but had no memory for it: then nothing was done."""
    return isinstance(error.__cause__, OutOfMemoryError)
