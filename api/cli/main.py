"""`darkroom`: one command, its verbs in modules of their own."""

import argparse
import sys
from collections.abc import Callable

Run = Callable[[argparse.Namespace], int]


def main() -> int:
    """Runs the verb given on the command line; its exit code is the process's."""
    arguments = _parser().parse_args()
    run: Run = arguments.run
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="darkroom", description="An asynchronous job queue for text-to-image.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("up", help="run the whole stack with a sandbox upstream").set_defaults(run=_up)
    verbs.add_parser("demo", help="run one job through the whole stack and stop").set_defaults(run=_demo)
    settings = verbs.add_parser("settings", help="show every setting")
    settings.add_argument("--env", action="store_true", help="as an environment file instead of a table")
    settings.add_argument("--markdown", action="store_true", help="as a table (the default)")
    settings.set_defaults(run=_settings)
    return parser


def _up(_: argparse.Namespace) -> int:
    from api.cli.up import run

    return run()


def _demo(_: argparse.Namespace) -> int:
    from api.cli.demo import run

    return run()


def _settings(arguments: argparse.Namespace) -> int:
    from api.cli.settings_docs import environment, markdown

    print(environment() if arguments.env else markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
