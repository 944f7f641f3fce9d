"""`darkroom parked`: lists messages that were taken from a queue and are none of ours, or whose job does not exist."""

import argparse

import orjson

from api.cli.operator.engine import Engine, on_engine
from worker.job.times import rfc3339
from worker.store.parking import Parked

HEAD_CHARACTERS = 80


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with all that was kept")
    parser.add_argument("--clear", action="store_true", help="forget them after looking; the metric goes on counting")


def run(arguments: argparse.Namespace) -> int:
    """Prints them, the newest first. Exit code 0; 3: Redis is away."""
    return on_engine(lambda engine: _parked(engine, arguments))


async def _parked(engine: Engine, arguments: argparse.Namespace) -> int:
    rows = await engine.store.parking.rows()
    for row in rows:
        print(_as_json(row) if arguments.json else _as_line(row))
    if arguments.clear:
        print(f"{await engine.store.parking.clear()} forgotten")
    elif not rows and not arguments.json:
        print("no message is parked")
    return 0


def _as_json(row: Parked) -> str:
    return orjson.dumps(row._asdict() | {"head": row.head.decode(errors="backslashreplace")}).decode()


def _as_line(row: Parked) -> str:
    # escaped: whoever wrote it must not write to this terminal
    head = ascii(row.head[:HEAD_CHARACTERS])
    return f"{rfc3339(row.at)} {row.queue} {row.why} {row.size} bytes {head}"
