"""`darkroom resume`: ends a pause."""

import argparse

from api.cli.operator.engine import on_engine
from api.cli.operator.pause import hold
from api.cli.operator.tenants import add_new_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to resume."""
    add_new_option(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--tenant", help="only this tenant's jobs")
    what.add_argument("--account", "--key", metavar="NAME", help="only this account")


def run(arguments: argparse.Namespace) -> int:
    """Hands out jobs again, at once."""
    return on_engine(lambda engine: hold(engine, arguments, None))
