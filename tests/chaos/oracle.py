"""The judge: every accepted job has ended, was bought as often as it may be, holds its own bytes, and was told."""

import asyncio
import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.acts import Acts
from tests.chaos.evidence import Bookkeeping, Evidence, gather_evidence, read_bookkeeping
from tests.chaos.load import Callers
from tests.chaos.plan import LIES_ABOUT_IDS, Plan
from tests.chaos.reading import read_jobs, wait_for_ends
from worker.job.record import TRANSITIONS, Status

if TYPE_CHECKING:
    from tests.chaos.run import Run

ENDS = {"succeeded", "failed", "cancelled", "expired"}
SERVED_SAMPLE = 100
SETTLED_SECONDS = 20
"""So long may places and messages take to follow the last job's end."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """A job that its caller deleted after it was judged: what it leaves on the tenant's account."""

    plan: Plan
    status: str
    spent: int


async def judge(all_callers: Callers, acts: Acts, gone: Mapping[str, Deleted], run: "Run") -> None:
    """Writes findings and totals into the run."""
    await wait_for_ends(all_callers)
    evidence = await gather_evidence(all_callers.here, all_callers.session)
    plans = all_callers.accepted
    jobs = await read_jobs(all_callers, plans)
    for job_id, job in jobs.items():
        run.broken += [f"{job_id} ({plans[job_id].prompt}): {each}" for each in odd(job_id, job, all_callers, evidence)]
    run.broken += [f"one id for two requests: {each}" for each in all_callers.twice]
    run.broken += [f"attempt posted {n} times: {track}" for track, n in evidence.posts.items() if n > 1]
    known = plans.keys() | gone.keys()
    run.broken += [f"bought without an accepted job: {each}" for each in evidence.bought if each not in known]
    run.broken += _shared_ids(jobs, plans)
    limit = int(all_callers.here.settings["DARKROOM_UPSTREAM_MAX_IN_FLIGHT"])
    if evidence.most_held > limit:
        run.broken.append(f"a key held {evidence.most_held} requests at once, its limit is {limit}")
    run.broken += [f"{each}: deleted, but its files are there" for each in gone if each.lower() in evidence.files]
    run.broken += await _served(all_callers, jobs)
    run.broken += await _kept(all_callers, evidence, gone)
    audit = await asyncio.to_thread(all_callers.here.run, "api.cli.main", "audit")
    run.broken += [f"audit: {line}" for line in _found(audit.stdout, plans)] if audit.returncode else []
    run.totals = _totals(all_callers, acts, jobs, gone, evidence, run.broken) | run.totals


def odd(job_id: str, job: Mapping[str, Any], all_callers: Callers, evidence: Evidence) -> Iterator[str]:
    """Where one record contradicts the bill, the bytes, the inbox or the table of transitions."""
    plan, bought = all_callers.accepted[job_id], evidence.bought[job_id]
    if job["status"] not in ENDS:
        yield f"lost: it is {job['status']}"
        return
    if bought > plan.may_be_bought:
        yield f"bought {bought} times"
    for row in job["timeline"]:
        before = Status(row["from"]) if row["from"] else None
        if before is not None and row["to"] != row["from"] and Status(row["to"]) not in TRANSITIONS[before]:
            yield f"went from {row['from']} to {row['to']}"
    yield from _charged(job, plan, bought)
    if job["status"] == "succeeded":
        yield from _bytes(job_id, job, evidence)
    told = all_callers.inbox.statuses.get(job_id, [])
    if not plan.hangs and job["status"] not in told:
        yield f"it is {job['status']}, its caller was told {told or 'nothing'}"


def _charged(job: Mapping[str, Any], plan: Plan, bought: int) -> Iterator[str]:
    if job["charged"] is True and not bought:
        yield "says it was charged, the bill says it was not"
    if "http=400" in plan.prompt:  # a documented refusal that is a lie: nobody can know but by the callback
        return
    if job["charged"] is False and bought:
        yield "says it was not charged, the bill says it was"
    if job["status"] == "failed" and bought and job["error"]["code"] == "upstream_rejected":
        yield "was bought, and failed as rejected"


def _bytes(job_id: str, job: Mapping[str, Any], evidence: Evidence) -> Iterator[str]:
    if not job["images"]:
        yield "succeeded without images"
    for image in job["images"]:
        if not evidence.stored(job_id, image):
            yield "succeeded without readable bytes of the recorded hash"
        if image["sha256"] not in evidence.made[job_id]:
            yield "succeeded without its own bytes: the upstream made that image for another job"


def _shared_ids(jobs: Mapping[str, Mapping[str, Any]], plans: Mapping[str, Plan]) -> Iterator[str]:
    """No request id has two owners, but where the upstream lied about it."""
    owners: dict[str, set[str]] = defaultdict(set)
    for job_id, job in jobs.items():
        if not any(lie in plans[job_id].prompt for lie in LIES_ABOUT_IDS):
            for attempt in job.get("attempts") or ():
                owners[str(attempt["request_id"])].add(job_id)
    return (f"request {each} has {len(of)} owners" for each, of in owners.items() if each != "None" and len(of) > 1)


def _found(audit: str, plans: Mapping[str, Plan]) -> Iterator[str]:
    """What the audit found, but what is known from outside: that an upstream which lies gives one id to two jobs."""
    for line in audit.splitlines():
        liars = [each for each in plans if each in line and any(lie in plans[each].prompt for lie in LIES_ABOUT_IDS)]
        if not liars and not line.endswith(" findings"):
            yield line


async def _served(all_callers: Callers, jobs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sample of the images, as a caller gets them."""
    found = []
    images = [(job_id, image) for job_id, job in jobs.items() for image in job.get("images") or ()]
    for job_id, image in images[:: max(1, len(images) // SERVED_SAMPLE)]:
        path, plan = f"/v1/jobs/{job_id}/images/{image['index']}", all_callers.accepted[job_id]
        status, body = await all_callers.request("GET", path, plan)
        if status != 200 or hashlib.sha256(body).hexdigest() != image["sha256"]:
            found.append(f"{job_id}: its image is not served ({status})")
    return found


async def _kept(all_callers: Callers, evidence: Evidence, gone: Mapping[str, Deleted]) -> list[str]:
    """What is wrong with Redis itself, once it has had time to settle."""
    limit = time.monotonic() + SETTLED_SECONDS
    while True:
        books = await asyncio.to_thread(read_bookkeeping, all_callers.here.redis.url)
        found = [
            *_misplaced(books),
            *_left_over(books, all_callers.accepted),
            *_account(books, all_callers.accepted, evidence, gone),
        ]
        if not found or time.monotonic() > limit:
            return found
        await asyncio.sleep(2)


def _misplaced(books: Bookkeeping) -> Iterator[str]:
    """Place and record, both ways."""
    for job_id, row in books.jobs.items():
        if row["place"] and books.places.get(job_id) != row["place"]:
            yield f"{job_id} ({row['status']}): its record says it has a place, the place does not"
    for holder, name in books.places.items():
        job_id, _, attempt = holder.partition("-")
        row = books.jobs.get(job_id) or {}
        if row.get("place") != name and not (attempt and _is_open(row, holder)):
            yield f"{holder}: a place is held for it, its record does not say so"


def _is_open(row: Mapping[str, Any], track_id: str) -> bool:
    """Whether that attempt, beside which the job was bought again, may still be in work upstream."""
    attempts = json.loads(row.get("doc") or "{}").get("attempts", ())
    return any(each["track_id"] == track_id and each["status"] in ("unknown", "processing") for each in attempts)


def _left_over(books: Bookkeeping, plans: Mapping[str, Plan]) -> Iterator[str]:
    yield from (f"{key}: a key without a job" for key in books.ghosts)
    yield from (f"{each}: a job that nobody was told was accepted" for each in books.jobs if each not in plans)
    if books.unacked:
        yield f"{books.unacked} messages left in unacked"
    if books.waiting:
        yield f"{books.waiting} messages left in Celery's lists"


def _account(
    books: Bookkeeping, plans: Mapping[str, Plan], evidence: Evidence, gone: Mapping[str, Deleted]
) -> Iterator[str]:
    """Usage is what the records cost, and what the bill says as far as anybody can know."""
    spent: Counter[str] = Counter()
    for each in gone.values():
        spent[each.plan.tenant] += each.spent
    for job_id, row in books.jobs.items():
        known, unclear = int(row["spent"] or 0), int(row["open"] or 0)
        spent[str(row["tenant"])] += known
        unknowable = job_id in plans and "http=400" in plans[job_id].prompt
        if not known <= evidence.bought[job_id] <= known + unclear and not unknowable:
            yield f"{job_id}: {known} spent and {unclear} open, the bill says {evidence.bought[job_id]}"
    for tenant, images in spent.items():
        if books.usage[tenant] != images:
            yield f"{tenant}: usage says {books.usage[tenant]} images, its jobs cost {images}"


def _totals(
    all_callers: Callers, acts: Acts, jobs: Mapping[str, Mapping[str, Any]], gone: Mapping[str, Deleted],
    evidence: Evidence, broken: Iterable[str],
) -> dict[str, int]:  # fmt: skip
    ends = Counter(f"  ended {job['status']}" for job in jobs.values()) + Counter(
        f"  ended {d.status}" for d in gone.values()
    )
    plans = [*all_callers.accepted.values(), *(each.plan for each in gone.values())]
    counted = {"lost": "lost: ", "bought twice without a word": "bought "}
    counted |= {"succeeded without its own bytes": "succeeded without"}
    return {
        "jobs accepted": len(plans),
        "  with a fault": sum(bool(plan.fault) or plan.hangs for plan in plans),
        "refusals, repeated by the caller": all_callers.refused.total(),
        **{f"  {status}": n for status, n in sorted(all_callers.refused.items())},
        "kills (SIGKILL)": acts.kills.total() - acts.kills["in vain"],
        **{f"  {name}": n for name, n in sorted(acts.kills.items()) if name != "in vain"},
        "disturbances": acts.disturbances.total() - acts.disturbances["in vain"],
        **{f"  {name}": n for name, n in sorted(acts.disturbances.items()) if name != "in vain"},
        "jobs ended": ends.total(),
        **dict(sorted(ends.items())),
        "late results adopted": sum(bool(job.get("late")) for job in jobs.values()),
        "POSTs on the bill": evidence.posts.total(),
        "  taken": evidence.bought.total(),
        "receivers left hanging": all_callers.inbox.hung,
        **{name: sum(f": {start}" in each for each in broken) for name, start in counted.items()},
        "broken promises": len(list(broken)),
    }
