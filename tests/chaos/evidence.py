"""What the oracle believes: the sandbox's bill, the bytes on disk; and our Redis, which is compared with them."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from redis import Redis

from config.broker import KEY_PREFIX, QUEUES
from tests.support.processes import Installation

PAGE = 1000


@dataclass
class Evidence:
    """The bill by job and by attempt, and where each job's images lie."""

    posts: Counter[str] = field(default_factory=Counter)
    """track_id → POSTs."""
    bought: Counter[str] = field(default_factory=Counter)
    """job id → POSTs that were taken."""
    made: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """job id → SHA-256 of the images that the sandbox made for its attempts."""
    most_held: int = 0
    files: dict[str, list[Path]] = field(default_factory=dict)
    """Folder of a job → its files."""

    def stored(self, job_id: str, image: Mapping[str, Any]) -> bool:
        """Whether that image lies in the job's folder, whole, with the recorded hash."""
        for path in self.files.get(job_id.lower(), []):
            ours = path.name.startswith((f"{image['index']}.", f"{image['index']}-"))
            if ours and hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]:
                return True
        return False


async def gather_evidence(here: Installation, session: aiohttp.ClientSession) -> Evidence:
    """Reads the whole bill and lists the whole store."""
    found = Evidence()
    async with session.get(f"http://127.0.0.1:{here.sandbox_port}/bill") as answer:
        bill = await answer.json()
    for row in bill["posts"]:
        job_id = str(row["track_id"]).rpartition("-")[0]
        found.posts[str(row["track_id"])] += 1
        found.bought[job_id] += row["taken"]
        found.made[job_id].update(row["made"])
    found.most_held = bill["max_in_flight"]
    for path in (here.folder / "images").rglob("*"):
        if path.is_file():
            found.files.setdefault(path.parent.name.lower(), []).append(path)
    return found


@dataclass
class Bookkeeping:
    """What our Redis holds, read past our own code."""

    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    """job id → status, place, open, spent, tenant."""
    places: dict[str, str] = field(default_factory=dict)
    """job id → the key on which a place is held."""
    ghosts: list[str] = field(default_factory=list)
    """Keys of a job that is not there."""
    unacked: int = 0
    waiting: int = 0
    """Messages in Celery's lists."""
    usage: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """tenant → images spent."""


FIELDS = ("status", "place", "open", "spent", "tenant", "doc")


def read_bookkeeping(url: str) -> Bookkeeping:
    """Reads it with plain commands."""
    found = Bookkeeping()
    with Redis.from_url(url, decode_responses=True, socket_timeout=20) as redis:
        keys = list(redis.scan_iter(count=PAGE))
        names = [key for key in keys if key.startswith("job:")]
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            with redis.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.hmget(name, FIELDS)
                rows = pipe.execute()
            for name, row in zip(page, rows, strict=True):
                found.jobs[name.partition(":")[2]] = dict(zip(FIELDS, row, strict=True))
        found.ghosts = [f"job:{each}" for each, row in found.jobs.items() if not row["doc"]]
        for key in keys:
            kind, _, name = key.partition(":")
            if kind in ("inbox", "deliveries") and len(name) == 26 and name not in found.jobs:
                found.ghosts.append(key)
            if kind == "places":
                found.places |= dict.fromkeys(redis.zrange(key, 0, -1), name)
            if kind == "usage":
                found.usage[name.partition(":")[0]] += int(redis.hget(key, "spent") or 0)
        found.unacked = sum(redis.hlen(key) for key in keys if key == f"{KEY_PREFIX}unacked")
        found.waiting = sum(redis.llen(f"{KEY_PREFIX}{queue}") for queue in QUEUES)
    return found


def open_jobs(url: str) -> int:
    """How many jobs have not ended, by our own count; a hint when to look closely."""
    with Redis.from_url(url, decode_responses=True, socket_timeout=5) as redis:
        counts = redis.hgetall("counts")
    return sum(int(counts.get(status, 0)) for status in ("queued", "submitting", "unknown", "processing", "storing"))
