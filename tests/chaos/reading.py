"""What the judge reads: every job over HTTP, once all have ended and all are told."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import RedisError

from tests.chaos.evidence import open_jobs
from tests.chaos.load import Callers
from tests.chaos.plan import Plan

END_MARGIN_SECONDS = 30
TOLD_SECONDS = 120
READERS = 16


async def wait_for_ends(all_callers: Callers) -> None:
    """Until every job has ended and every caller been told, or the time for it is over."""
    url, limit = all_callers.here.redis.url, time.monotonic() + all_callers.deadline_seconds + END_MARGIN_SECONDS
    while time.monotonic() < limit and await asyncio.to_thread(_open, url):
        await asyncio.sleep(0.5)
    limit = time.monotonic() + TOLD_SECONDS
    while time.monotonic() < limit and not all(_told(all_callers)):
        await asyncio.sleep(0.2)


def _open(url: str) -> bool:
    try:
        return open_jobs(url) > 0
    except (RedisError, OSError):
        return True


def _told(all_callers: Callers) -> Iterator[bool]:
    for job_id, plan in all_callers.accepted.items():
        yield plan.hangs or job_id in all_callers.inbox.first_at


async def read_jobs(all_callers: Callers, plans: Mapping[str, Plan]) -> dict[str, dict[str, Any]]:
    """Every one of them through the API, a few at a time."""
    found: dict[str, dict[str, Any]] = {}
    left = iter(list(plans.items()))

    async def reader() -> None:
        for job_id, plan in left:
            for _ in range(5):
                status, job = await all_callers.request("GET", f"/v1/jobs/{job_id}", plan)
                found[job_id] = job if status == 200 else {"status": f"unreadable ({status})"}
                if status == 200:
                    break
                await asyncio.sleep(0.5)

    await asyncio.gather(*(reader() for _ in range(READERS)))
    return found
