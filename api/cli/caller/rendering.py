"""A job in words for a terminal."""

import sys
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from api.cli.caller.connection import Row, plain

SHOWN_PROMPT = 60
PIPE_COLUMNS = 1000
CHARGED = {True: "charged", False: "not charged", None: "nobody knows whether it was charged"}


def job_path(job_id: str) -> str:
    """The path of a job; an invalid id stays one segment of the path, and is not found."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def job_line(job: Row) -> str:
    """One line: its status, and why."""
    return f"{job['id']}  {job['status']}  {plain(job['explain'])}"


def job_summary(job: Row) -> str:
    """The whole job in words: status, reason, request, cost, attempts, timeline."""
    return "\n".join(f"{name:<10} {text}" if name else f"{'':<10} {text}" for name, text in _lines(job))


def jobs_table(jobs: list[Row]) -> Table:
    """A page of jobs."""
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    for name in ("status", "created", "model", "track id", "images"):
        table.add_column(name)
    for job in jobs:
        model = plain(job["request"].get("model_id", ""))
        track_id, created = plain(job["track_id"] or ""), job["created_at"][:19].replace("T", " ")
        table.add_row(job["id"], job["status"], created, model, track_id, str(len(job["images"]) or ""))
    return table


def print_table(table: Table) -> None:
    """As wide as the terminal; in a pipe each row is one line."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(highlight=False, markup=False, width=width).print(table)


def transition_line(row: Row, first_at: str) -> str:
    """One transition, with the seconds since the first one."""
    seconds = (datetime.fromisoformat(row["at"]) - datetime.fromisoformat(first_at)).total_seconds()
    return f"{seconds:9.2f} s  {row['to']:<11} {plain(row['cause'])}"


def _lines(job: Row) -> Iterator[tuple[str, str]]:
    yield "job", job["id"]
    yield "status", f"{job['status']}{' (late)' if job['late'] else ''}: {plain(job['explain'])}"
    yield "request", _request(job["request"])
    if job["track_id"]:
        yield "track id", plain(job["track_id"])
    if job["retry_of"]:
        yield "retry of", job["retry_of"]
    yield "bought", CHARGED[job["charged"]]
    if error := job["error"]:
        words = f": {plain(error['upstream_message'])}" if error["upstream_message"] else ""
        yield "error", f"{error['code']}: {plain(error['message'])}{words}"
    for adjustment in job["adjustments"]:
        yield "adjusted", plain(f"{adjustment['field']}: {adjustment['from']} → {adjustment['to']}")
    for image in job["images"]:
        size = f"{image['format']} {image['width']} × {image['height']}, {image['bytes']:,} bytes, seed {image['seed']}"
        yield f"image {image['index']}", f"{size}{', blanked as nsfw' if image['nsfw'] else ''}"
        yield "", f"sha256 {image['sha256']}"
    for attempt in job["attempts"]:
        outcome = attempt["outcome"] or attempt["status"]
        yield f"attempt {attempt['number']}", plain(f"{attempt['started_at']} {outcome} {attempt['message'] or ''}")
    for row in job["timeline"]:
        yield "timeline", f"{row['at']} {transition_line(row, job['timeline'][0]['at'])}"


def _request(request: Row) -> str:
    prompt = plain(request.get("prompt", ""))
    shown = prompt if len(prompt) <= SHOWN_PROMPT else f"{prompt[: SHOWN_PROMPT - 1]}…"
    rest = ", ".join(f"{name} {plain(value)[:40]}" for name, value in request.items() if name != "prompt")
    return f"“{shown}” {rest}"
