"""`darkroom list`: jobs, newest first, filtered, page by page."""

import argparse
from collections.abc import Iterator
from typing import Any

from api.cli.caller.connection import Api, Exit, Row, add_connection_options, print_json, with_api
from api.cli.caller.following import say
from api.cli.caller.rendering import jobs_table, print_table
from worker.job.record import Status


def add_options(parser: argparse.ArgumentParser) -> None:
    """The filters of the API."""
    parser.add_argument("--status", choices=[status.value for status in Status])
    parser.add_argument("--track-id")
    parser.add_argument("--metadata", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--created-after", metavar="TIME", help="RFC 3339")
    parser.add_argument("--created-before", metavar="TIME", help="RFC 3339")
    parser.add_argument("--limit", help="rows of a page, 1 to 200", metavar="N")
    parser.add_argument("--cursor", help="go on from an earlier page")
    parser.add_argument("--all", action="store_true", help="every page")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table, or one JSON object a line and job."""
    return with_api(arguments, lambda api: _list(api, arguments))


def _list(api: Api, arguments: argparse.Namespace) -> int:
    rows = 0
    for page in _pages(api, arguments):
        rows += len(page["jobs"])
        if arguments.json:
            for job in page["jobs"]:
                print_json(job)
        elif page["jobs"]:
            print_table(jobs_table(page["jobs"]))
        if page["next_cursor"] and not arguments.all:
            say(f"there may be more: --cursor {page['next_cursor']}, or --all")
    if not rows and not arguments.json:
        say("no jobs")
    return Exit.OK


def _pages(api: Api, arguments: argparse.Namespace) -> Iterator[Row]:
    parameters = query(arguments)
    while True:
        page: Row = api.call("GET", "/v1/jobs", params=parameters)
        yield page
        if not page["next_cursor"] or not arguments.all:
            return
        parameters |= {"cursor": page["next_cursor"]}


def query(arguments: argparse.Namespace) -> dict[str, Any]:
    """The API's query parameters. Pure."""
    names = ("status", "track_id", "created_after", "created_before", "limit", "cursor")
    given = {name: getattr(arguments, name) for name in names}
    pairs = (text.partition("=")[::2] for text in arguments.metadata)
    return {name: value for name, value in given.items() if value is not None} | {
        f"metadata.{name}": value for name, value in pairs
    }
