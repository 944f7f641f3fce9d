"""One run: its phases, one after the other, and what is measured in each."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.acts import KEYS_OF_THE_ACCOUNT, WORKERS, Acts
from tests.chaos.brim import fill_to_the_brim
from tests.chaos.load import Callers, callers
from tests.chaos.oracle import Deleted, judge
from tests.chaos.plan import plan_jobs
from tests.chaos.reading import wait_for_ends
from tests.support.processes import Installation

SETTINGS = {
    "lease_seconds": "3", "unknown_wait_seconds": "6", "upstream_timeout_seconds": "4",
    "upstream_connect_timeout_seconds": "2", "max_waiting_jobs": "100000",
}  # fmt: skip
PLACES_PER_JOB_A_SECOND = 20
"""A job whose submit is unknown keeps its place for five minutes, so that a limit below would only make a queue."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for."""

    jobs: int = 2000
    seed: int = 1
    rate: float = 40.0
    kill_every_seconds: float = 2.0
    calm_seconds: float = 15.0
    deadline_seconds: int = 45
    after_load_seconds: float = 5.0
    fills_memory: bool = True
    """Also the phase at `maxmemory`; a run of few jobs has nothing to delete that would make room."""


@dataclass
class Run:
    """What a run came to."""

    wanted: Wanted
    totals: dict[str, int] = field(default_factory=dict)
    """Counts that several runs add up to."""
    waits: dict[str, list[float]] = field(default_factory=dict)
    """The quiet tenant's waits by phase, in seconds."""
    broken: list[str] = field(default_factory=list)
    """Each broken promise, in a line."""
    seconds: int = 0


def chaos(folder: Path, wanted: Wanted) -> Run:
    """One run in that folder."""
    key_file = folder / "upstream.key"
    key_file.write_text(KEYS_OF_THE_ACCOUNT[0])
    settings = SETTINGS | {
        "upstream_key": f"@{key_file}",
        "sandbox_key": "/".join(KEYS_OF_THE_ACCOUNT),
        "upstream_max_in_flight": str(max(60, int(wanted.rate * PLACES_PER_JOB_A_SECOND))),
    }
    with Installation(folder, **settings) as here:
        here.start("worker", name=WORKERS[1])
        return asyncio.run(_phases(here, wanted))


async def _phases(here: Installation, wanted: Wanted) -> Run:
    run, dice, began = Run(wanted), random.Random(wanted.seed), time.monotonic()
    acts = Acts(here, random.Random(dice.random()), wanted.kill_every_seconds)
    async with callers(here, wanted.deadline_seconds) as all_callers:
        gone = await _load(all_callers, acts, run, dice)
        _say("waiting for the ends", began)
        await wait_for_ends(all_callers)
        async with all_callers.measured("calm again"):
            await asyncio.sleep(wanted.calm_seconds)
        run.waits = all_callers.waits
        _say("judging", began)
        await judge(all_callers, acts, gone, run)
    run.seconds = round(time.monotonic() - began)
    return run


async def _load(all_callers: Callers, acts: Acts, run: Run, dice: random.Random) -> dict[str, Deleted]:
    """Every phase with load; returns what was deleted at the brim, by job."""
    wanted, began = run.wanted, time.monotonic()
    plain, loud, brim = (int(wanted.jobs * share) for share in _shares(wanted))
    async with all_callers.measured("calm"):
        await asyncio.sleep(wanted.calm_seconds)
    _say("plain load", began)
    async with all_callers.measured("plain load"):
        await all_callers.load(plan_jobs(0, plain, "plain", dice), wanted.rate)
    _say("loud load", began)
    async with all_callers.measured("loud load"):
        await all_callers.load(plan_jobs(plain, loud, "loud", dice), wanted.rate)
    gone: dict[str, Deleted] = {}
    if wanted.fills_memory:
        _say("memory at its limit", began)
        gone = await fill_to_the_brim(all_callers, run, plan_jobs(plain + loud, brim, "mixed", dice), wanted.rate)
    _say("kills", began)
    first = plain + loud + brim
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(all_callers.measured("kills"))
        killing = asyncio.create_task(acts.go_on())
        await all_callers.load(plan_jobs(first, wanted.jobs - first, "mixed", dice), wanted.rate)
        await asyncio.sleep(wanted.after_load_seconds)
        killing.cancel()
        ended = await asyncio.gather(killing, acts.finish(), return_exceptions=True)
        run.broken += [f"the killing ended by itself: {each!r}" for each in ended if isinstance(each, Exception)]
    return gone


def _shares(wanted: Wanted) -> tuple[float, float, float]:
    """Of the jobs, those of the phases without kills: half a minute each at most, a quarter of the run together."""
    seconds = wanted.jobs / wanted.rate
    return (
        min(15.0, seconds * 0.08) / seconds,
        min(30.0, seconds * 0.12) / seconds,
        min(8.0, max(3.0, seconds * 0.05)) / seconds,
    )


def _say(what: str, began: float) -> None:
    print(f"  {time.monotonic() - began:6.1f} s  {what}", flush=True)
