"""`darkroom demo`: runs the documentation's example from an empty machine to a stored image, and verifies it."""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from api.cli.stack.stack import Stack, running_stack
from worker.job.record import TERMINAL
from worker.upstream.accounts import Account
from worker.upstream.chosen import PROVIDER

FOLDER = Path(".darkroom") / "demo"
JOB_SECONDS = 90.0
POLL_SECONDS = 0.3
FLOWER_SECONDS = 15.0
COLOURS = {"succeeded": "green", "failed": "red", "expired": "red", "unknown": "yellow"}

Row = dict[str, Any]


class DemoFailed(Exception):
    """The demonstration did not show what it should. The text says what."""


@dataclass(frozen=True)
class Proof:
    """What the demonstration found after the job had ended."""

    path: Path
    size: int
    track_id: str
    tasks: list[str]


def run(_: argparse.Namespace) -> int:
    """Starts the stack, runs one job through it, prints where its image is, stops everything."""
    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]Darkroom[/]: starting Redis, sandbox upstream, worker, API and Flower")
    began = time.monotonic()
    try:
        with running_stack(FOLDER, throwaway=True) as stack:
            console.print(f"ready after {time.monotonic() - began:.1f} s at {stack.api_url}\n")
            _demonstrate(stack, console, began)
    except (DemoFailed, httpx.HTTPError) as error:
        console.print(f"[red]The demonstration failed:[/] {error}")
        console.print(f"The parts' logs are in {FOLDER / 'logs'}")
        return 1
    console.print("everything that was started has been stopped")
    return 0


def _demonstrate(stack: Stack, console: Console, began: float) -> None:
    headers = {"authorization": f"Bearer {stack.secrets.key}", "content-type": "application/json"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30, trust_env=False) as client:
        job = _run_job(client, console)
        _print_summary(console, job, _prove(client, stack, job), time.monotonic() - began)


def _run_job(client: httpx.Client, console: Console) -> Row:
    console.print("POST /v1/jobs with the documentation's example body")
    answer = client.post("/v1/jobs", content=files("api").joinpath("example.json").read_bytes())
    if answer.status_code != 202:
        raise DemoFailed(f"the job was not accepted: {answer.text}")
    job_id = answer.json()["id"]
    console.print(f"202 Accepted: job {job_id}\n")
    _show_progress(client, console, job_id)
    job: Row = client.get(f"/v1/jobs/{job_id}").json()
    if job["status"] != "succeeded":
        raise DemoFailed(f"the job is {job['status']}: {job['explain']}")
    return job


def _show_progress(client: httpx.Client, console: Console, job_id: str) -> None:
    accepted: datetime | None = None
    with console.status("queued …") as status:
        for row in _transitions(client, console, job_id):
            at, colour = datetime.fromisoformat(row["at"]), COLOURS.get(row["to"], "cyan")
            accepted = accepted or at
            seconds = (at - accepted).total_seconds()
            console.print(f"  {seconds:6.2f} s  [{colour}]{row['to']:<11}[/] {row['cause']}")
            status.update(f"{row['to']} …")


def _transitions(client: httpx.Client, console: Console, job_id: str) -> Iterator[Row]:
    """The job's transitions as they happen: from the event stream, or by polling if that breaks."""
    seen = 0
    try:
        for row in _events(client, job_id):
            seen += 1
            yield row
    except httpx.TransportError as error:
        console.print(f"  the event stream broke ({type(error).__name__}), so the job is polled")
    until = time.monotonic() + JOB_SECONDS
    while time.monotonic() < until:
        job = client.get(f"/v1/jobs/{job_id}").json()
        yield from job["timeline"][seen:]
        seen = len(job["timeline"])
        if job["status"] in TERMINAL:
            return
        time.sleep(POLL_SECONDS)
    raise DemoFailed(f"the job has not ended within {JOB_SECONDS:.0f} s")


def _events(client: httpx.Client, job_id: str) -> Iterator[Row]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                row: Row = json.loads(line.removeprefix("data: "))
                yield row


def _prove(client: httpx.Client, stack: Stack, job: Row) -> Proof:
    """Verifies the job by other sources: bytes on disk, bytes that the sandbox served, its bill, Flower."""
    image, attempt = job["images"][0], job["attempts"][0]
    path = next(stack.images.rglob(f"{job['id'].lower()}/0-{image['sha256'][:12]}.*"), None)
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != image["sha256"]:
        raise DemoFailed("the image on disk is not the one that the job names")
    through_api = client.get(f"/v1/jobs/{job['id']}/images/0").content
    if not through_api == path.read_bytes() == _served_by_sandbox(stack, attempt["request_id"]):
        raise DemoFailed("the stored bytes are not those that the sandbox served")
    posts = stack.http.get(f"{stack.sandbox_url}/bill").json()["posts"]
    ours = [post["track_id"] for post in posts if str(post["track_id"]).startswith(job["id"])]
    if ours != [attempt["track_id"]]:
        raise DemoFailed(f"the sandbox's bill shows {len(ours)} POSTs for the job, not one with its track_id")
    return Proof(path, len(through_api), attempt["track_id"], _flower_tasks(stack, job["id"]))


def _served_by_sandbox(stack: Stack, request_id: str) -> bytes:
    account = Account("key-sandbox", f"{stack.sandbox_url}{PROVIDER.base_path}", "sandbox")
    call = PROVIDER.fetch_call(account, request_id)
    answer = stack.http.post(call.url, content=call.body, headers={"content-type": "application/json"})
    return stack.http.get(PROVIDER.parse(answer.content).links[0]).content


def _flower_tasks(stack: Stack, job_id: str) -> list[str]:
    """Names of the job's tasks in Flower, which gets them by events, a moment later."""
    until = time.monotonic() + FLOWER_SECONDS
    while time.monotonic() < until:
        answer = stack.http.get(f"{stack.flower_url}/api/tasks", auth=("demo", stack.secrets.flower_password))
        tasks = [task for task in answer.json().values() if job_id in str(task["args"])]
        if len(tasks) >= 3 and all(task["state"] == "SUCCESS" for task in tasks):
            return sorted(task["name"] for task in tasks)
        time.sleep(POLL_SECONDS)
    raise DemoFailed("Flower does not show the job's tasks")


def _print_summary(console: Console, job: Row, proof: Proof, seconds: float) -> None:
    image = job["images"][0]
    adjusted = "; ".join(f"{each['field']} {each['from']} → {each['to']}" for each in job["adjustments"])
    rows = {
        "image": str(proof.path),
        "is": f"{image['format']} {image['width']} × {image['height']}, {proof.size:,} bytes, seed {image['seed']}",
        "sha256": image["sha256"],
        "bytes": "on disk, through the API and as the sandbox served them: equal",
        "bill": f"one POST, with track_id {proof.track_id}",
        "Flower": ", ".join(proof.tasks),
        "adjusted": adjusted or "nothing",
        "took": f"{seconds:.1f} s with starting",
    }
    console.print()
    for name, value in rows.items():
        console.print(f"  [bold]{name:<9}[/] {value}")
    console.print()
