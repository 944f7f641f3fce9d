"""Time that can be skipped: Redis' clock, as every script reads it, and the steady one of this process, together."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1

from redis import Redis

from worker.store import clock
from worker.store.script import Script

KEY = "test:skipped_ms"
SHOWN = "local now = shown\n"
SKIPPED = f"shown = shown + tonumber(redis.call('GET', '{KEY}') or 0)\n"

_skipped_ms = 0


@contextmanager
def skippable_clock() -> Iterator[None]:
    """While it lasts, all scripts and all that asks `steady_ms` add what was skipped."""
    modules = [module for name, module in sys.modules.items() if name.startswith("worker.")]
    scripts = {id(each): each for module in modules for each in vars(module).values() if isinstance(each, Script)}
    kept = [(script, script.source, script.sha) for script in scripts.values()]
    steady = clock.steady_ms
    asking = [module for module in modules if getattr(module, "steady_ms", None) is steady]
    for script, source, _ in kept:
        assert source.count(SHOWN) == 1
        script.source = source.replace(SHOWN, SKIPPED + SHOWN)
        script.sha = sha1(script.source.encode(), usedforsecurity=False).hexdigest()
    for module in asking:
        module.steady_ms = lambda: steady() + _skipped_ms  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for script, source, sha in kept:
            script.source, script.sha = source, sha
        for module in asking:
            module.steady_ms = steady  # type: ignore[attr-defined]


def start_over(redis: Redis) -> None:
    """Empties the server, and forgets what was skipped."""
    global _skipped_ms
    _skipped_ms = 0
    redis.flushall()


def skip(redis: Redis, ms: int) -> None:
    """Lets so much time pass for all."""
    global _skipped_ms
    _skipped_ms += ms
    redis.incrby(KEY, ms)
