"""`darkroom retry`: runs a failed, expired or cancelled job again, as a new job."""

import argparse

from api.cli.caller.accepted import add_wait_option, show_accepted
from api.cli.caller.connection import add_connection_options, with_api
from api.cli.caller.rendering import job_path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job, and whether to wait for the new one."""
    parser.add_argument("job", help="its id")
    add_wait_option(parser)
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the new job's id."""
    path = f"{job_path(arguments.job)}/retry"
    return with_api(arguments, lambda api: show_accepted(api, [api.call("POST", path)], arguments))
