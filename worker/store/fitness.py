"""The fitness check: whether a Redis is safe for jobs. Made at start and for every new connection."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

DURABILITY = ("maxmemory-policy", "appendonly", "appendfsync", "min-replicas-to-write")
OLDEST = 7
EVICTS = "this Redis would evict jobs (maxmemory-policy is {}): set maxmemory-policy to noeviction"
TOO_OLD = "this Redis is {}: Darkroom's scripts need Redis 7 or Valkey"
SHARDED = (
    "this Redis is a cluster of {} shards: Darkroom needs all of its keys in one, so give it a cluster of one shard"
)
HIDDEN = "this Redis does not show its configuration: make sure of noeviction and appendfsync always"
FORGETS = "this Redis does not persist (appendonly is no): accepted jobs are lost when it restarts"
LATE = "appendfsync is {}: up to a second of accepted jobs is lost with the power"
CUT_OFF = "min-replicas-to-write is 0: a primary that is cut off goes on accepting what a failover loses"
UNWATCHED = (
    "DARKROOM_REDIS_REPLICAS is 0 behind sentinels: a failover can lose what was just written, and buy a job twice"
)

Ask = Callable[..., Awaitable[Any]]
"""Sends one command and returns its reply; raises redis' own errors."""


class Unfit(RedisConnectionError):
    """A server that must not be used. The text says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal` says why a server must not be used, or is ''; `warnings` are for its operator."""

    refusal: str = ""
    warnings: tuple[str, ...] = ()


def judge(
    facts: Mapping[str, str], config: Mapping[str, str] | None, shards: int, *, sentinels: bool, replicas: int
) -> Verdict:
    """The verdict by `INFO`, by the configuration (None: it is hidden) and by the number of shards."""
    shown = config or {}
    version = facts.get("redis_version", str(OLDEST))
    policy = shown.get("maxmemory-policy") or facts.get("maxmemory_policy") or "noeviction"
    if int(version.partition(".")[0]) < OLDEST:
        return Verdict(TOO_OLD.format(version))
    if shards > 1:
        return Verdict(SHARDED.format(shards))
    if policy != "noeviction":
        return Verdict(EVICTS.format(policy))
    warnings = []
    if shown.get("appendonly", "yes" if facts.get("aof_enabled", "1") == "1" else "no") != "yes":
        warnings.append(FORGETS)
    elif shown.get("appendfsync", "always") != "always":
        warnings.append(LATE.format(shown["appendfsync"]))
    if config is None:
        warnings.append(HIDDEN)
    if sentinels and shown.get("min-replicas-to-write") == "0":
        warnings.append(CUT_OFF)
    if sentinels and not replicas:
        warnings.append(UNWATCHED)
    return Verdict("", tuple(warnings))


async def examine(ask: Ask, *, sentinels: bool, replicas: int) -> Verdict:
    """Examines the server behind a connection. A managed one that hides CONFIG is trusted, with a warning."""
    facts = _facts(await ask("INFO"))
    try:
        config = _texts(await ask("CONFIG", "GET", *DURABILITY))
    except ResponseError:
        config = None
    cluster = _facts(await ask("CLUSTER", "INFO")) if facts.get("cluster_enabled") == "1" else {}
    return judge(facts, config, int(cluster.get("cluster_size", 1)), sentinels=sentinels, replicas=replicas)


def _texts(reply: Any) -> dict[str, str]:
    """A map in the form of RESP2 or RESP3."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}


def _facts(info: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    return {name: value.strip() for name, colon, value in lines if colon}
