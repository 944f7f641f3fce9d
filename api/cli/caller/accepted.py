"""After jobs were accepted: print their ids, or wait for their ends."""

import argparse
import math
import time

from api.cli.caller.connection import Api, Exit, Row, print_json
from api.cli.caller.following import exit_of_job, wait_for_end
from api.cli.caller.rendering import job_line


def add_wait_option(parser: argparse.ArgumentParser) -> None:
    """Whether to wait, and for how long."""
    parser.add_argument("--wait", nargs="?", type=_seconds, const=math.inf, metavar="SECONDS",
                        help="wait for the end, at most so long, and let the exit code tell it")  # fmt: skip


def show_accepted(api: Api, jobs: list[Row], arguments: argparse.Namespace) -> int:
    """Prints ids, or jobs with `--json`; with `--wait` each job at its end. The worst exit code of all."""
    if arguments.wait is None:
        for job in jobs:
            print_json(job) if arguments.json else print(job["id"])
        return Exit.OK
    until, ends = time.monotonic() + arguments.wait, set()
    for accepted in jobs:
        job = wait_for_end(api, accepted["id"], max(0.0, until - time.monotonic()))
        print_json(job) if arguments.json else print(job_line(job), flush=True)
        ends.add(exit_of_job(job))
    if Exit.JOB_FAILED in ends:
        return Exit.JOB_FAILED
    return Exit.NOT_YET if Exit.NOT_YET in ends else Exit.OK


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds
