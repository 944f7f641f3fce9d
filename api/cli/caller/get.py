"""`darkroom get`: one job, in words or as JSON."""

import argparse

from api.cli.caller.connection import Api, Exit, Row, add_connection_options, print_json, with_api
from api.cli.caller.rendering import job_path, job_summary


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job."""
    parser.add_argument("job", help="its id")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Shows it. Exit code 0 for every status."""
    return with_api(arguments, lambda api: _show(api, arguments))


def _show(api: Api, arguments: argparse.Namespace) -> int:
    job: Row = api.call("GET", job_path(arguments.job))
    print_json(job) if arguments.json else print(job_summary(job))
    return Exit.OK
