"""`darkroom watch`: a job's transitions as they happen, over reconnects, until its end."""

import argparse
import math

from api.cli.caller.connection import Api, Row, add_connection_options, print_json, with_api
from api.cli.caller.following import exit_of_job, transitions
from api.cli.caller.progress import waiting_line
from api.cli.caller.rendering import job_line, job_path, transition_line


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job, and for how long."""
    parser.add_argument("job", help="its id")
    parser.add_argument("--timeout", type=float, default=math.inf, metavar="SECONDS", help="stop watching after it")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints each transition. The exit code says how the job ended."""
    return with_api(arguments, lambda api: _watch(api, arguments))


def _watch(api: Api, arguments: argparse.Namespace) -> int:
    first_at = ""
    with waiting_line("watching") as line:
        for row in transitions(api, arguments.job, arguments.timeout):
            first_at = first_at or row["at"]
            print_json(row) if arguments.json else print(transition_line(row, first_at), flush=True)
            line.say(row["to"])
    job: Row = api.call("GET", job_path(arguments.job))
    if not arguments.json:
        print(job_line(job))
    return exit_of_job(job)
