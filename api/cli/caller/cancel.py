"""`darkroom cancel`: ends a job, and says whether it was charged."""

import argparse

from api.cli.caller.connection import Api, Exit, Row, add_connection_options, print_json, with_api
from api.cli.caller.rendering import CHARGED, job_path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job."""
    parser.add_argument("job", help="its id")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Cancels it. Exit code 2 if it has ended already."""
    return with_api(arguments, lambda api: _cancel(api, arguments))


def _cancel(api: Api, arguments: argparse.Namespace) -> int:
    job: Row = api.call("POST", f"{job_path(arguments.job)}/cancel")
    print_json(job) if arguments.json else print(f"{job['id']} {job['status']}, {CHARGED[job['charged']]}")
    return Exit.OK
