"""Following a job over its event stream to its end, over reconnects, and what its end means for the exit code."""

import json
import math
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from api.cli.caller.connection import Api, ApiRefusal, Exit, Row
from api.cli.caller.progress import waiting_line
from api.cli.caller.rendering import job_path
from worker.job.record import TERMINAL

HEARTBEAT_SECONDS = 20.0
"""Four times what the API lets pass between two signs of life: a stream that is silent for longer is dead."""
AWAY_SECONDS = 60.0
"""How long an API that does not answer is tried again before that is believed."""
PAUSE_SECONDS = 1.0


def read_events(lines: Iterable[str]) -> Iterator[tuple[int, Row] | None]:
    """Server-sent events: the number and row of each transition, None for a sign of life. Pure."""
    number, data = 0, ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield number, json.loads(data)
            data = ""
        elif not name:
            yield None
        elif name == "id" and value.isdecimal():
            number = int(value)
        elif name == "data":
            data += value


def transitions(api: Api, job_id: str, seconds: float = math.inf) -> Iterator[Row]:
    """Each transition of the job once, from the first one, until the job or the time ends.

    Raises ApiRefusal where the API refuses, or has been away for too long.
    """
    until, last, ended = time.monotonic() + seconds, 0, False
    heard = time.monotonic()
    while (left := until - time.monotonic()) > 0:
        silence = min(HEARTBEAT_SECONDS, left)
        try:
            with closing(_events(api, job_id, last, silence)) as events:
                for event in events:
                    heard = time.monotonic()
                    if event:
                        last, row = event
                        ended = row["to"] in TERMINAL
                        yield row
                    elif until - heard < silence - 1:  # ask again, so that silence ends when the time does
                        break
                else:
                    if ended:
                        return
                    time.sleep(PAUSE_SECONDS)  # the API is stopping: another one, or its next life, goes on
        except ApiRefusal as refusal:
            if refusal.exit is not Exit.AWAY or time.monotonic() - heard > AWAY_SECONDS:
                raise
            time.sleep(min(PAUSE_SECONDS, max(0.0, until - time.monotonic())))


def wait_for_end(api: Api, job_id: str, seconds: float) -> Row:
    """The job once it has ended, or as it stands when the time is over; a line on the terminal shows where it is."""
    with waiting_line(job_id) as line:
        for row in transitions(api, job_id, seconds):
            line.say(f"{job_id} {row['to']}")
    job: Row = api.call("GET", job_path(job_id))
    return job


def exit_of_job(job: Row) -> Exit:
    """What a job's status says to whoever waited for its end."""
    if job["status"] == "succeeded":
        return Exit.OK
    return Exit.JOB_FAILED if job["status"] in TERMINAL else Exit.NOT_YET


def _events(api: Api, job_id: str, after: int, read_seconds: float) -> Generator[tuple[int, Row] | None, None, None]:
    headers = {"last-event-id": str(after)} if after else {}
    with api.stream(f"{job_path(job_id)}/events", read_seconds=read_seconds, headers=headers) as answer:
        yield from read_events(answer.iter_lines())


def say(words: str) -> None:
    """One line for a human, beside what is printed for machines."""
    print(words, file=sys.stderr, flush=True)
