"""`make chaos JOBS=… SEED=…`: real processes under a load of mixed faults, while they are killed, stopped, restarted.

The oracle trusts the sandbox's bill, the bytes in the store and the receiver's inbox; of our own records it believes
nothing that those do not confirm. The seed decides faults and schedule; what the machine does between is its own.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from config.broker import QUEUES
from tests.support.processes import Installation, children_of, until
from tests.support.receiver import Receiver
from worker.job import TRANSITIONS, Status

FAULTS = {
    "": 36, "[[no-callback]]": 8, "[[late=2]]": 4, "[[callback=2]]": 5, "[[callback-first]]": 5, "[[contradict]]": 4,
    "[[contradict=first]]": 3, "[[forged]]": 4, "[[accept-then-drop]]": 6, "[[garbled]]": 3, "[[http=503]]": 2,
    "[[http=503]] [[taken]]": 2, "[[busy=1]]": 4, "[[image-404=2]]": 3, "[[image-truncated=1]]": 3, "[[image-html]]": 1,
    "[[fail=out of paint]]": 3, "[[reject=no such model]]": 2, "[[sync]]": 4, "[[base64]]": 2, "[[no-id]]": 2,
    "[[accept-then-drop]] [[no-callback]]": 1, "[[answer-delay=2]]": 2,
}  # fmt: skip
ENDS = {"succeeded", "failed", "cancelled", "expired"}
DEADLINE_SECONDS = 75
JOBS_PER_SECOND = 20
"""Spread out, so that every kill meets jobs in every state."""
AFTER_LOAD_SECONDS = 8
CALLERS = 12
SETTLE_SECONDS = DEADLINE_SECONDS + 45


@dataclass
class Run:
    """One run's counts and findings."""

    jobs: dict[str, str] = field(default_factory=dict)
    """Accepted job id → its policy for `unknown`."""
    acts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    broken: list[str] = field(default_factory=list)


def main() -> int:
    """Runs once with JOBS and SEED from the environment, prints the totals, and fails where a promise was broken."""
    jobs, seed = int(os.environ.get("JOBS", "2000")), int(os.environ.get("SEED", str(random.randrange(10**6))))
    print(f"chaos: {jobs} jobs, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run, totals = chaos(Path(folder), jobs, seed)
        if run.broken and os.environ.get("KEEP"):
            subprocess.run(["cp", "-r", folder, os.environ["KEEP"]], check=True)
    for name, value in totals.items():
        print(f"  {name:<34} {value}")
    for finding in run.broken[:40]:
        print(f"BROKEN  {finding}")
    print(f"{len(run.jobs) - len(run.broken)} passed, {len(run.broken)} failed")
    return 1 if run.broken else 0


def chaos(folder: Path, jobs: int, seed: int) -> tuple[Run, dict[str, Any]]:
    """One run in that folder: its findings and its totals."""
    run, began = Run(), time.monotonic()
    settings = {
        "lease_seconds": "3", "unknown_wait_seconds": "6", "upstream_timeout_seconds": "4",
        "upstream_connect_timeout_seconds": "2", "upstream_max_in_flight": "60", "max_waiting_jobs": "100000",
    }  # fmt: skip
    with Receiver() as receiver, Installation(folder, **settings) as here:
        here.start("worker", name="worker-2")
        stopping = threading.Event()
        dice = random.Random(seed)
        killer = threading.Thread(target=_kill_at_random, args=(here, run, random.Random(dice.random()), stopping))
        killer.start()
        _load(here, run, jobs, dice, receiver)
        time.sleep(AFTER_LOAD_SECONDS)
        stopping.set()
        killer.join()
        _wait_for_ends(here, run)
        until(lambda: len(receiver.told) >= len(run.jobs) or time.monotonic() - began > 900, 60, "everybody told")
        totals = _judge(here, run, receiver)
    totals |= {"seconds": round(time.monotonic() - began), "seed": seed}
    return run, totals


def _load(here: Installation, run: Run, jobs: int, dice: random.Random, receiver: Receiver) -> None:
    plans = [_plan(number, dice, receiver.url) for number in range(jobs)]
    with ThreadPoolExecutor(CALLERS) as pool:
        for job_id, plan in pool.map(lambda plan: (_accept(here, run, plan), plan), plans):
            run.jobs[job_id] = plan["on_unknown"]
    run.faults.update(plan["prompt"].partition(" ")[2] or "none" for plan in plans)


def _plan(number: int, dice: random.Random, webhook: str) -> dict[str, Any]:
    fault = dice.choices(list(FAULTS), FAULTS.values())[0]
    policy = dice.choices(["hold", "resubmit", "fail"], [85, 10, 5])[0]
    return {
        "model_id": "m", "prompt": f"picture-{number} {fault}".strip(), "width": 64, "height": 64, "seed": number,
        "on_unknown": policy, "deadline_seconds": DEADLINE_SECONDS, "webhook": webhook,
    }  # fmt: skip


def _accept(here: Installation, run: Run, plan: dict[str, Any]) -> str:
    """As a careful caller does: the same Idempotency-Key until there is an answer."""
    headers = {"idempotency-key": plan["prompt"].partition(" ")[0]}
    time.sleep(CALLERS / JOBS_PER_SECOND)
    while True:
        try:
            answer = here.client.post("/v1/jobs", json=plan, headers=headers)
        except httpx.HTTPError:
            answer = None
        if answer is not None and answer.status_code == 202:
            return str(answer.json()["id"])
        run.refused += 1
        time.sleep(0.2)


def _kill_at_random(here: Installation, run: Run, dice: random.Random, stopping: threading.Event) -> None:
    acts: dict[str, Callable[[], None]] = {
        "kill a worker": lambda: _restart(here, dice.choice(["worker", "worker-2"]), kill=True),
        "kill a worker's child": lambda: _kill_child(here, dice),
        "stop a worker": lambda: _restart(here, dice.choice(["worker", "worker-2"]), kill=False),
        "freeze a worker": lambda: _freeze(here, dice),
        "kill the API": lambda: _restart(here, "api", kill=True),
        "restart the API": lambda: _restart(here, "api", kill=False),
        "kill Redis": lambda: _kill_redis(here, dice),
        "freeze Redis": lambda: _freeze_redis(here, dice),
        "empty Celery's queues": lambda: _empty_queues(here),
    }
    while not stopping.wait(dice.uniform(0.5, 2.5)):
        name = dice.choice(list(acts))
        acts[name]()
        run.acts[name] += 1


def _restart(here: Installation, name: str, *, kill: bool) -> None:
    here.kill(name) if kill else here.stop(name)
    here.start(name.partition("-")[0], name=name)


def _kill_child(here: Installation, dice: random.Random) -> None:
    children = children_of(here.processes["worker"].pid)
    if children:
        _signal(dice.choice(children), signal.SIGKILL)


def _freeze(here: Installation, dice: random.Random) -> None:
    pid = here.processes[dice.choice(["worker", "worker-2"])].pid
    family = [pid, *children_of(pid)]
    for each in family:
        _signal(each, signal.SIGSTOP)
    time.sleep(dice.uniform(1, 5))
    for each in family:
        _signal(each, signal.SIGCONT)


def _kill_redis(here: Installation, dice: random.Random) -> None:
    here.redis.kill()
    time.sleep(dice.uniform(0, 1))
    here.redis.start()


def _freeze_redis(here: Installation, dice: random.Random) -> None:
    pid = here.redis.pid
    if pid:
        _signal(pid, signal.SIGSTOP)
        time.sleep(dice.uniform(0.5, 3))
        _signal(pid, signal.SIGCONT)


def _empty_queues(here: Installation) -> None:
    try:
        with Redis.from_url(here.redis.url, socket_timeout=2) as redis:
            for queue in QUEUES:
                redis.delete(f"celery:{queue}")
    except (RedisError, OSError):
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_for_ends(here: Installation, run: Run) -> None:
    until_at = time.monotonic() + SETTLE_SECONDS
    open_jobs = set(run.jobs)
    while open_jobs and time.monotonic() < until_at:
        open_jobs = {each for each in open_jobs if _status(here, each) not in ENDS}
        time.sleep(0.5)
    run.broken += [f"lost: {each} is {_status(here, each)}" for each in sorted(open_jobs)]


def _status(here: Installation, job_id: str) -> str:
    try:
        return str(here.job(job_id)["status"])
    except (httpx.HTTPError, KeyError, json.JSONDecodeError):
        return "unreadable"


def _judge(here: Installation, run: Run, receiver: Receiver) -> dict[str, Any]:
    bill = httpx.get(f"http://127.0.0.1:{here.sandbox_port}/bill", timeout=60).json()["posts"]
    posts = Counter(row["track_id"] for row in bill)
    bought = Counter(str(row["track_id"]).rpartition("-")[0] for row in bill if row["taken"])
    jobs = {each: here.job(each) for each in run.jobs}
    run.broken += [f"attempt posted {times} times: {track_id}" for track_id, times in posts.items() if times > 1]
    twice = [each for each, policy in run.jobs.items() if bought[each] > (2 if policy == "resubmit" else 1)]
    run.broken += [f"billed twice: {each}" for each in twice]
    run.broken += [f"bought without a job: {each}" for each in bought if each not in run.jobs]
    unreadable = [each for each, job in jobs.items() if job["status"] == "succeeded" and not _readable(here, job)]
    run.broken += [f"succeeded without readable bytes: {each}" for each in unreadable]
    run.broken += [f"{each}: {finding}" for each, job in jobs.items() for finding in _odd(job, bought[each])]
    run.broken += [f"{each}: {finding}" for each, job in jobs.items() for finding in _untold(job, receiver)]
    audit = here.run("api.cli.main", "audit")
    run.broken += [f"audit: {line}" for line in audit.stdout.splitlines()] if audit.returncode else []
    statuses = Counter(job["status"] for job in jobs.values())
    return {
        "jobs accepted": len(jobs), "refused and repeated by the caller": run.refused,
        "kills, freezes, restarts": sum(run.acts.values()), **{f"  {name}": n for name, n in run.acts.most_common()},
        "jobs with a fault": sum(n for name, n in run.faults.items() if name != "none"),
        **{f"  ended {name}": n for name, n in statuses.items()},
        "late results adopted": sum(job["late"] for job in jobs.values()),
        "POSTs on the bill, taken": f"{len(bill)}, {sum(row['taken'] for row in bill)}",
        "lost": sum("lost" in finding for finding in run.broken),
        "billed twice without policy": len(twice),
        "succeeded without readable bytes": len(unreadable),
    }  # fmt: skip


def _readable(here: Installation, job: dict[str, Any]) -> bool:
    """Every picture is on disk, whole, with the recorded hash, and served."""
    for image in job["images"]:
        path = next((here.folder / "images").rglob(f"{job['id'].lower()}/{image['index']}.*"), None)
        if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != image["sha256"]:
            return False
    return bool(job["images"])


def _odd(job: dict[str, Any], bought: int) -> list[str]:
    """Where the record contradicts the table of transitions or the bill."""
    found = []
    for row in job["timeline"]:
        before = Status(row["from"]) if row["from"] else None
        if Status(row["to"]) not in TRANSITIONS[before]:
            found.append(f"went from {row['from']} to {row['to']}")
    if job["charged"] is False and bought:
        found.append("says it was not charged, the bill says it was")
    if job["charged"] is True and not bought:
        found.append("says it was charged, the bill says it was not")
    if job["status"] == "failed" and bought and job["error"]["code"] == "upstream_rejected":
        found.append("was bought, and failed as rejected")
    return found


def _untold(job: dict[str, Any], receiver: Receiver) -> list[str]:
    told = receiver.told.get(job["id"], [])
    found = [] if told else ["its caller was never told"]
    if told and told[-1]["status"] != job["status"] and job["status"] not in {each["status"] for each in told}:
        found.append(f"its caller was told {told[-1]['status']}, it is {job['status']}")
    return found


if __name__ == "__main__":
    sys.exit(main())
