"""`darkroom doctor`: checks whether this installation is ready to buy. Exit code 0: yes; 1: no; 3: Redis is away.

A line with `--` is a note: what the provider cannot do, and what follows.
"""

import argparse
import asyncio
import json

from api.cli.stack.running import settings_here
from config.settings import Settings
from worker.operate.doctor import examine
from worker.startup import check_settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Runs the checks and prints them."""
    settings = settings_here()
    check_settings(settings)
    return asyncio.run(_examine(settings, as_json=arguments.json))


async def _examine(settings: Settings, *, as_json: bool) -> int:
    ill, away = 0, False
    async for diagnosis in examine(settings):
        ill += not diagnosis.well
        away = away or diagnosis.away
        if as_json:
            print(json.dumps({"subject": diagnosis.subject, "well": diagnosis.well, "words": diagnosis.words}))
        else:
            mark = "-- " if diagnosis.is_note else "ok " if diagnosis.well else "BAD"
            print(f"{mark}  {diagnosis.subject}: {diagnosis.words}")
    return 3 if away else 1 if ill else 0
