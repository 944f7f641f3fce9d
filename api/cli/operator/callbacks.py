"""`darkroom callbacks`: lists orphaned callbacks (without a job), and replays stored ones."""

import argparse

import orjson

from api.cli.operator.engine import Engine, on_engine
from worker.job.ids import is_job_id
from worker.store.jobs import JobStore


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("job", nargs="?", help="decide again on the kept callbacks of this job")
    parser.add_argument("--orphans", action="store_true", help="list callbacks whose job was not known")
    parser.add_argument("--match", action="store_true", help="hand orphans to their jobs, where those exist by now")


def run(arguments: argparse.Namespace) -> int:
    """Without options, lists orphans. Exit code 1: no such job; 3: Redis is away."""
    return on_engine(lambda engine: _run(engine, arguments))


async def _run(engine: Engine, arguments: argparse.Namespace) -> int:
    if arguments.job:
        return await _replay(engine.store, arguments.job)
    return await (_match(engine.store) if arguments.match else _list(engine.store))


async def _replay(store: JobStore, job_id: str) -> int:
    if not is_job_id(job_id) or await store.load(job_id) is None:
        print("there is no such job")
        return 1
    await store.inbox.read_again(job_id)
    print("its callbacks are decided on again")
    return 0


async def _match(store: JobStore) -> int:
    matched = 0
    for row in await store.inbox.orphans():
        orphan = orjson.loads(row)
        if await store.load(orphan["job"]):
            await store.inbox.keep(orphan["job"], orphan["attempt"], orphan["body"].encode())
            await store.inbox.drop_orphan(row)
            matched += 1
    print(f"{matched} matched")
    return 0


async def _list(store: JobStore) -> int:
    for row in await store.inbox.orphans():
        orphan = orjson.loads(row)
        print(f"{orphan['at']} job {orphan['job']} attempt {orphan['attempt']} {len(orphan['body'])} bytes")
    return 0
