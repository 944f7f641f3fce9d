"""Which Redis may keep jobs, and what its operator is told."""

import pytest

from worker.store.fitness import (
    CUT_OFF,
    EVICTS,
    FORGETS,
    HIDDEN,
    LATE,
    SHARDED,
    TOO_OLD,
    UNWATCHED,
    Verdict,
    judge,
)

FACTS = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": "1"}
CONFIG = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "appendfsync": "always",
    "min-replicas-to-write": "0",
}


@pytest.mark.parametrize(
    ("facts", "config", "shards", "verdict"),
    [
        ({}, {}, 1, Verdict()),
        ({"redis_version": "8.0.1"}, {}, 1, Verdict()),
        ({"redis_version": "6.2.14"}, {}, 1, Verdict(TOO_OLD.format("6.2.14"))),
        ({}, {}, 3, Verdict(SHARDED.format(3))),
        ({}, {"maxmemory-policy": "allkeys-lru"}, 1, Verdict(EVICTS.format("allkeys-lru"))),
        ({"maxmemory_policy": "volatile-ttl"}, None, 1, Verdict(EVICTS.format("volatile-ttl"))),
        ({}, {"appendonly": "no"}, 1, Verdict("", (FORGETS,))),
        ({}, {"appendfsync": "everysec"}, 1, Verdict("", (LATE.format("everysec"),))),
        ({}, None, 1, Verdict("", (HIDDEN,))),
        ({"aof_enabled": "0"}, None, 1, Verdict("", (FORGETS, HIDDEN))),
    ],
)
def test_a_redis_is_judged(facts: dict[str, str], config: dict[str, str] | None, shards: int, verdict: Verdict) -> None:
    """By what it says of itself; one that hides its configuration by what INFO shows."""
    shown = None if config is None else CONFIG | config
    assert judge(FACTS | facts, shown, shards, sentinels=False, replicas=0) == verdict


def test_behind_sentinels_a_write_must_reach_replicas() -> None:
    """By the server's own setting and by ours, one warning for each."""
    assert judge(FACTS, CONFIG, 1, sentinels=True, replicas=0).warnings == (CUT_OFF, UNWATCHED)
    safe = CONFIG | {"min-replicas-to-write": "1"}
    assert judge(FACTS, safe, 1, sentinels=True, replicas=1).warnings == ()
