"""`darkroom doctor`: is this installation fit to buy, in plain words. Exit code 0 only where all is well."""

import argparse
import asyncio
import json

from config.settings import Settings, load_settings
from worker.doctor import examine
from worker.startup import check_settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Looks, and says what it found."""
    settings = load_settings()
    check_settings(settings)
    return asyncio.run(_examine(settings, as_json=arguments.json))


async def _examine(settings: Settings, *, as_json: bool) -> int:
    ill = 0
    async for diagnosis in examine(settings):
        ill += not diagnosis.well
        if as_json:
            print(json.dumps({"subject": diagnosis.subject, "well": diagnosis.well, "words": diagnosis.words}))
        else:
            print(f"{'ok ' if diagnosis.well else 'BAD'}  {diagnosis.subject}: {diagnosis.words}")
    return 1 if ill else 0
