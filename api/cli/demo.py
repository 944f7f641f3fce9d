"""`darkroom demo`: the documentation's own example, from an empty machine to a stored picture, and the proof of it."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from api.cli.stack import Stack, new_stack

FOLDER = Path(".darkroom") / "demo"
FLOWER_SECONDS = 10.0
ENDS = {"succeeded", "failed", "cancelled", "expired"}
COLOURS = {"succeeded": "green", "failed": "red", "expired": "red", "unknown": "yellow"}


class DemoFailed(Exception):
    """The demonstration did not show what it should. The text says what."""


@dataclass(frozen=True)
class Proof:
    """What was found after the job had ended."""

    path: Path
    size: int
    posts: int
    tasks: list[str]


def run() -> int:
    """Starts the stack, runs one job through it, prints where its picture is, stops everything."""
    console = Console(highlight=False, soft_wrap=True)
    stack = new_stack(FOLDER, may_move=True)
    began = time.monotonic()
    console.print("[bold]Darkroom[/]: starting Redis, sandbox upstream, worker, API and Flower")
    stack.start()
    try:
        console.print(f"ready after {time.monotonic() - began:.1f} s at {stack.api_url}\n")
        with httpx.Client(
            base_url=stack.api_url, headers={"authorization": f"Bearer {stack.key}"}, timeout=30
        ) as client:
            job = _run_job(client, console)
            _print_summary(console, job, _prove(client, stack, job), began)
    except (DemoFailed, httpx.HTTPError) as error:
        console.print(f"[red]The demonstration failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        stack.stop()
    console.print("everything that was started has been stopped")
    return 0


def _run_job(client: httpx.Client, console: Console) -> dict[str, Any]:
    body = files("api").joinpath("example.json").read_bytes()
    console.print("POST /v1/jobs with the documentation's example body")
    answer = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    if answer.status_code != 202:
        raise DemoFailed(f"the job was not accepted: {answer.text}")
    job: dict[str, Any] = answer.json()
    console.print(f"202 Accepted: job {job['id']}\n")
    _show_progress(client, console, job["id"])
    ended: dict[str, Any] = client.get(f"/v1/jobs/{job['id']}").json()
    if ended["status"] != "succeeded":
        raise DemoFailed(f"the job is {ended['status']}: {ended['explain']}")
    return ended


def _show_progress(client: httpx.Client, console: Console, job_id: str) -> None:
    first = 0.0
    with console.status("waiting") as status:
        for row in _events(client, job_id):
            at = time.monotonic()
            first = first or at
            colour = COLOURS.get(row["to"], "cyan")
            console.print(f"  {at - first:6.2f} s  [{colour}]{row['to']:<11}[/] {row['cause']}")
            status.update(f"{row['to']} …")


def _events(client: httpx.Client, job_id: str) -> Iterator[dict[str, Any]]:
    """The job's transitions as they happen, over server-sent events."""
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                row: dict[str, Any] = json.loads(line.removeprefix("data: "))
                yield row


def _prove(client: httpx.Client, stack: Stack, job: dict[str, Any]) -> Proof:
    """Trusts nothing that the job says: the bytes on disk, the bytes that the sandbox served, its bill, Flower."""
    image, attempt = job["images"][0], job["attempts"][0]
    path = next(stack.images.rglob(f"{job['id'].lower()}/0.*"), None)
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != image["sha256"]:
        raise DemoFailed("the picture on disk is not the one that the job names")
    served = client.get(image["url"], headers={"authorization": ""}).content
    bill = httpx.get(f"{stack.sandbox_url}/bill", params={"track_id": attempt["track_id"]}, timeout=10).json()
    upstream = _served_by_sandbox(stack, attempt["request_id"])
    if len(bill["posts"]) != 1:
        raise DemoFailed(f"the bill shows {len(bill['posts'])} POSTs for this job")
    if not served == path.read_bytes() == upstream:
        raise DemoFailed("the stored bytes are not those that the sandbox served")
    return Proof(path, len(served), len(bill["posts"]), _flower_tasks(stack, job["id"]))


def _served_by_sandbox(stack: Stack, request_id: str) -> bytes:
    body = {"key": "sandbox", "request_id": request_id}
    answer = httpx.post(f"{stack.sandbox_url}/api/v1/enterprise/fetch", json=body, timeout=10).json()
    return httpx.get(answer["output"][0], timeout=10).content


def _flower_tasks(stack: Stack, job_id: str) -> list[str]:
    """Names of the job's tasks as Flower shows them; it hears of them by events, a moment later."""
    until = time.monotonic() + FLOWER_SECONDS
    while time.monotonic() < until:
        answer = httpx.get(f"{stack.flower_url}/api/tasks", auth=("demo", stack.flower_password), timeout=10)
        tasks = [task for task in answer.json().values() if job_id in str(task["args"])]
        if len(tasks) >= 3 and all(task["state"] == "SUCCESS" for task in tasks):
            return sorted(task["name"] for task in tasks)
        time.sleep(0.2)
    raise DemoFailed("Flower does not show the job's tasks")


def _print_summary(console: Console, job: dict[str, Any], proof: Proof, began: float) -> None:
    image = job["images"][0]
    adjusted = "; ".join(f"{each['field']} {each['from']} → {each['to']}" for each in job["adjustments"])
    rows = {
        "picture": str(proof.path),
        "is": f"{image['format']} {image['width']} × {image['height']}, {proof.size:,} bytes, seed {image['seed']}",
        "sha256": image["sha256"],
        "bytes": "equal to what the sandbox served",
        "bill": f"{proof.posts} POST with track_id {job['attempts'][0]['track_id']}",
        "Flower": ", ".join(proof.tasks),
        "adjusted": adjusted or "nothing",
        "took": f"{time.monotonic() - began:.1f} s with starting",
    }
    console.print()
    for name, value in rows.items():
        console.print(f"  [bold]{name:<9}[/] {value}")
    console.print()


if __name__ == "__main__":
    sys.exit(run())
