"""Redis at its `maxmemory` under load: intake is refused, what is paid for goes on, deleting old jobs is what ends it.

The limit is set to what is used at that moment and stays until jobs that ended before were deleted by their caller and
intake has come back by itself. Only then is it taken away, as an operator does who gives Redis more memory.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from redis import Redis

from tests.chaos.evidence import gather_evidence
from tests.chaos.load import Callers
from tests.chaos.oracle import Deleted, odd
from tests.chaos.plan import Plan
from tests.chaos.reading import read_jobs

if TYPE_CHECKING:
    from tests.chaos.run import Run

REFUSED_ENOUGH = 10
JOBS_UNDER_WAY_SECONDS = 1.5
"""Of load before the limit: what is bought by then has to be recorded, stored and told all the same."""
FULL_SECONDS = 5.0
"""How long it stays full before anybody deletes."""
WAIT_SECONDS = 15.0
DELETED_AT_ONCE = 40
BACK = 5
"""So many accepts after deletions say that intake is back."""


async def fill_to_the_brim(all_callers: Callers, run: "Run", plans: Iterable[Plan], rate: float) -> dict[str, Deleted]:
    """The phase; returns what was deleted, judged before."""
    with Redis.from_url(all_callers.here.redis.url, socket_timeout=5, decode_responses=True) as redis:
        posting = asyncio.create_task(all_callers.load(plans, rate))
        await asyncio.sleep(JOBS_UNDER_WAY_SECONDS)
        redis.config_set("maxmemory", redis.info("memory")["used_memory"])
        refused, told = all_callers.refused.total(), len(all_callers.inbox.first_at)
        try:
            if not await _within(WAIT_SECONDS, lambda: all_callers.refused.total() > refused + REFUSED_ENOUGH):
                run.broken.append("at maxmemory nothing was refused")
            await asyncio.sleep(FULL_SECONDS)
            if len(all_callers.inbox.first_at) == told:
                run.broken.append("at maxmemory no job went on to its end")
            run.totals["told while memory was full"] = len(all_callers.inbox.first_at) - told
            gone = await _make_room(all_callers, run, redis)
            run.totals["deleted to make room"] = len(gone)
        finally:
            await asyncio.to_thread(redis.config_set, "maxmemory", 0)
            await posting
    return gone


async def _make_room(all_callers: Callers, run: "Run", redis: Redis) -> dict[str, Deleted]:
    evidence = await gather_evidence(all_callers.here, all_callers.session)
    ended = {each: all_callers.accepted[each] for each in [*all_callers.inbox.first_at] if each in all_callers.accepted}
    gone: dict[str, Deleted] = {}
    accepted = len(all_callers.accepted)
    for page in _pages(ended):
        for job_id, job in (await read_jobs(all_callers, page)).items():
            run.broken += [f"{job_id} ({page[job_id].prompt}): {e}" for e in odd(job_id, job, all_callers, evidence)]
            gone[job_id] = Deleted(page[job_id], job["status"], int(redis.hget(f"job:{job_id}", "spent") or 0))
        answers = await asyncio.gather(*(all_callers.request("DELETE", f"/v1/jobs/{e}", p) for e, p in page.items()))
        run.broken += [f"at maxmemory a job cannot be deleted: {status}" for status, _ in answers if status != 204][:1]
        for (job_id, _), (status, _) in zip(page.items(), answers, strict=True):
            gone.pop(job_id) if status != 204 else all_callers.accepted.pop(job_id)
        if len(all_callers.accepted) + len(gone) > accepted + BACK:
            return gone
    if not await _within(WAIT_SECONDS, lambda: len(all_callers.accepted) + len(gone) > accepted + BACK):
        run.broken.append(f"at maxmemory intake did not come back though {len(gone)} of {len(ended)} jobs were deleted")
    return gone


def _pages(ended: dict[str, Plan]) -> Iterable[dict[str, Plan]]:
    rows = list(ended.items())
    return (dict(rows[start : start + DELETED_AT_ONCE]) for start in range(0, len(rows), DELETED_AT_ONCE))


async def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and not condition():
        await asyncio.sleep(0.05)
    return condition()
