"""Follows a job by its event stream to its end, over reconnects; and the exit code for its end."""

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
"""Four times the API's pause between two signs of life (heartbeats): a stream that is silent longer is dead."""
AWAY_SECONDS = 60.0
"""How long an API that does not answer is tried again before the command gives up."""
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

    Raises ApiRefusal if the API refuses, or has been away for AWAY_SECONDS.
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
                    elif until - heard < silence - 1:  # connect again, so that the wait ends with the given time
                        break
                else:
                    if ended:
                        return
                    time.sleep(PAUSE_SECONDS)  # this API process stops; another one continues
        except ApiRefusal as refusal:
            if refusal.exit is not Exit.AWAY or time.monotonic() - heard > AWAY_SECONDS:
                raise
            time.sleep(min(PAUSE_SECONDS, max(0.0, until - time.monotonic())))


def wait_for_end(api: Api, job_id: str, seconds: float) -> Row:
    """The job when it has ended, or as it is after that time. A line on the terminal shows its status."""
    with waiting_line(job_id) as line:
        for row in transitions(api, job_id, seconds):
            line.say(f"{job_id} {row['to']}")
    job: Row = api.call("GET", job_path(job_id))
    return job


def exit_of_job(job: Row) -> Exit:
    """The exit code for a job that was waited for."""
    if job["status"] == "succeeded":
        return Exit.OK
    return Exit.JOB_FAILED if job["status"] in TERMINAL else Exit.NOT_YET


def _events(api: Api, job_id: str, after: int, read_seconds: float) -> Generator[tuple[int, Row] | None, None, None]:
    headers = {"last-event-id": str(after)} if after else {}
    with api.stream(f"{job_path(job_id)}/events", read_seconds=read_seconds, headers=headers) as answer:
        yield from read_events(answer.iter_lines())


def say(words: str) -> None:
    """Prints one line for people on stderr."""
    print(words, file=sys.stderr, flush=True)
