"""What is done to the processes: kills (SIGKILL), and disturbances that are counted apart."""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError

from config.broker import KEY_PREFIX, QUEUES
from tests.support.processes import Installation, children_of

WORKERS = ("worker", "worker-2")
REDIS_TIMEOUT_SECONDS = 1.5
FREEZES_SECONDS = (0.5, 5.0)
"""Of a worker: longer than its lease. Redis is frozen from below its time-out to four times as long."""
KEYS_OF_THE_ACCOUNT = tuple(f"sandbox-{number}" for number in range(1000))
DISTURBANCES_A_KILL = 0.3


class Acts:
    """A schedule of what is done to an installation, drawn from dice."""

    def __init__(self, here: Installation, dice: random.Random, kill_every_seconds: float) -> None:
        self.here, self._dice, self._every = here, dice, kill_every_seconds
        self.kills: Counter[str] = Counter()
        self.disturbances: Counter[str] = Counter()
        self.rotations = 0
        self._under_way: set[asyncio.Task[str]] = set()
        self._locks = {name: threading.Lock() for name in ("api", *WORKERS)}

    async def go_on(self) -> None:
        """Kills and disturbs until it is cancelled."""
        kills: dict[Callable[[], str], int] = {
            self._kill_child: 66, self._kill_api: 14, self._kill_redis: 10, self._kill_worker: 10,
        }  # fmt: skip
        disturbances: dict[Callable[[], str], int] = {
            self._freeze_worker: 3, self._freeze_redis: 4, self._empty_queues: 2, self._stop_worker: 2,
            self._restart_api: 2, self._rotate_key: 2,
        }  # fmt: skip
        await asyncio.gather(
            self._again_and_again(kills, self.kills, self._every),
            self._again_and_again(disturbances, self.disturbances, self._every / DISTURBANCES_A_KILL),
        )

    async def _again_and_again(self, acts: dict[Callable[[], str], int], done: Counter[str], every: float) -> None:
        at = time.monotonic()
        while True:
            at += every * self._dice.uniform(0.5, 1.5)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            act = self._dice.choices(list(acts), list(acts.values()))[0]
            # a task of its own: an act that has begun is ended, so that nothing stays stopped or unstarted
            begun = asyncio.create_task(asyncio.to_thread(self._noted, act))
            self._under_way.add(begun)
            name = await asyncio.shield(begun)
            self._under_way.discard(begun)
            done[name or "in vain"] += 1

    def _noted(self, act: Callable[[], str]) -> str:
        """Does it, and writes it into the run's list of acts: when, what, how many seconds it took."""
        began, at = time.monotonic(), datetime.now(UTC)
        name = act()
        with (self.here.folder / "acts.log").open("a") as log:
            log.write(f"{at:%H:%M:%S.%f} {name or act.__name__ + ' in vain'} {time.monotonic() - began:.1f}\n")
        return name

    async def finish(self) -> None:
        """Waits for what has begun."""
        await asyncio.gather(*self._under_way)

    def _kill_child(self) -> str:
        process = self.here.processes.get(self._dice.choice(WORKERS))
        children = children_of(process.pid) if process else []
        return "kill a worker's process" if children and _signal(self._dice.choice(children), signal.SIGKILL) else ""

    def _kill_api(self) -> str:
        return "kill the API" if self._again("api", kill=True) else ""

    def _kill_worker(self) -> str:
        return "kill a worker with all its processes" if self._again(self._dice.choice(WORKERS), kill=True) else ""

    def _stop_worker(self) -> str:
        return "stop a worker by SIGTERM" if self._again(self._dice.choice(WORKERS), kill=False) else ""

    def _restart_api(self) -> str:
        return "stop the API by SIGTERM" if self._again("api", kill=False) else ""

    def _again(self, name: str, *, kill: bool) -> bool:
        """False where the other task is at the same process just now."""
        if not self._locks[name].acquire(blocking=False):
            return False
        try:
            self.here.kill(name) if kill else self.here.stop(name)
        finally:
            self.here.start(name.partition("-")[0], name=name)
            self._locks[name].release()
        return True

    def _kill_redis(self) -> str:
        self.here.redis.kill()
        time.sleep(self._dice.uniform(0, 1))
        self.here.redis.start()
        return "kill Redis"

    def _freeze_worker(self) -> str:
        process = self.here.processes.get(self._dice.choice(WORKERS))
        family = [process.pid, *children_of(process.pid)] if process else []
        self._freeze(family, self._dice.uniform(*FREEZES_SECONDS))
        return "freeze a worker" if family else ""

    def _freeze_redis(self) -> str:
        seconds = self._dice.uniform(REDIS_TIMEOUT_SECONDS / 3, REDIS_TIMEOUT_SECONDS * 4)
        self._freeze([self.here.redis.pid] if self.here.redis.pid else [], seconds)
        return f"freeze Redis {'beyond' if seconds > REDIS_TIMEOUT_SECONDS else 'within'} its time-out"

    @staticmethod
    def _freeze(family: list[int], seconds: float) -> None:
        for pid in family:
            _signal(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in family:
            _signal(pid, signal.SIGCONT)

    def _empty_queues(self) -> str:
        try:
            with Redis.from_url(self.here.redis.url, socket_timeout=2) as redis:
                redis.delete(*(f"{KEY_PREFIX}{queue}" for queue in QUEUES))
        except (RedisError, OSError):
            return ""
        return "empty Celery's queues"

    def _rotate_key(self) -> str:
        """Another key of the same account: read from the file by who runs, and by a worker that starts anew."""
        self.rotations += 1
        write_key(self.here, KEYS_OF_THE_ACCOUNT[self.rotations % len(KEYS_OF_THE_ACCOUNT)])
        if self._dice.random() < 0.5:
            self._again(self._dice.choice(WORKERS), kill=False)
            return "rotate the upstream's key, restart a worker"
        return "rotate the upstream's key in its file"


def write_key(here: Installation, key: str) -> None:
    """Puts the key into the file that DARKROOM_UPSTREAM_KEY names, as a careful operator does: in one step."""
    path = here.folder / "upstream.key"
    fresh = path.with_suffix(".new")
    fresh.write_text(key)
    fresh.rename(path)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
