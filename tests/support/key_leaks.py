"""What a test has left in Redis that nothing would ever remove: judged by the map of keys (worker/store/keys.py)."""

import re
from collections import Counter
from collections.abc import Iterator

from redis import Redis

from worker.store import keys
from worker.store.key_family import Family, Life, Type

JOB_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")
GONE = "none"
"""The type of a key whose time to live has ended since it was listed."""
MEMBERS = {Type.ZSET: ("zrange", 0, -1), Type.LIST: ("lrange", 0, -1), Type.SET: ("smembers",), Type.HASH: ("hkeys",)}


def leaks(redis: Redis) -> list[str]:
    """Each key that is in no family, or is of another type, or outlives what it belongs to, with the reason."""
    names = sorted(redis.scan_iter(count=1000))
    jobs = {name.decode().removeprefix(keys.JOB.prefix) for name in names if keys.family_of(name.decode()) is keys.JOB}
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.type(name)
        pipe.pttl(name)
    facts = iter(pipe.execute())
    found = ((name.decode(), next(facts).decode(), next(facts)) for name in names)
    wrong = [f"{name}: {why}" for name, kind, left in found if (why := _leak(redis, name, kind, left, jobs))]
    return wrong + list(_wrong_bytes(redis, jobs))


def _wrong_bytes(redis: Redis, jobs: set[str]) -> Iterator[str]:
    """Tenants whose counter of bytes is not the sum of their records': of one without jobs there must be none."""
    found: Counter[str] = Counter()
    for job in jobs:
        tenant, counted = redis.hmget(keys.JOB(job), "tenant", "bytes")
        found[(tenant or b"").decode()] += int(counted or 0)
    noted = {name.decode(): int(counted) for name, counted in redis.hgetall(keys.BYTES()).items()}
    for tenant in sorted(noted.keys() | +found):
        if noted.get(tenant) != found[tenant]:
            yield f"{keys.BYTES()}: {tenant} has {noted.get(tenant)}, its records say {found[tenant]}"


def _leak(redis: Redis, name: str, kind: str, left: int, jobs: set[str]) -> str:
    """`left` as PTTL says it: -1 where the key lives for ever."""
    if kind == GONE:
        return ""
    family = keys.family_of(name)
    if family is None:
        return "is in no family of worker/store/keys.py"
    if family.type not in (kind, Type.ANY):
        return f"is a {kind}, not a {family.type}"
    if family.life is Life.TTL and left == -1:
        return "has no time to live"
    if family.life is Life.JOB and left == -1:
        return ", ".join(_without_a_job(redis, family, name, jobs))
    return ""


def _without_a_job(redis: Redis, family: Family, name: str, jobs: set[str]) -> Iterator[str]:
    """What it names and nobody knows any more: itself, or its members, where they are what tells of a job."""
    command, *bounds = MEMBERS[family.type]
    named = [name] if "<job>" in family.pattern or "<delivery>" in family.pattern else []
    for text in named or (each.decode() for each in getattr(redis, command)(name, *bounds)):
        found = JOB_ID.search(text)
        if found is None or found[0] not in jobs:
            yield f"{text} is of no job"
