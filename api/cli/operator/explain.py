"""`darkroom explain`: one sentence that says why a job is where it is, read from Redis."""

import argparse

from api.cli.operator.engine import Engine, on_engine
from worker.job.ids import is_job_id
from worker.shown.explain import explain
from worker.store.standing import Standing


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job."""
    parser.add_argument("job", help="its id")


def run(arguments: argparse.Namespace) -> int:
    """Prints it. Exit code 1 if there is no such job."""
    return on_engine(lambda engine: _explain(engine, arguments.job))


async def _explain(engine: Engine, job_id: str) -> int:
    found = await engine.store.view(job_id) if is_job_id(job_id) else None
    if found is None:
        print("there is no such job")
        return 1
    print(f"{found.job.status}: {explain(found.job, found.standing or Standing(), found.now)}")
    if count := found.job.contradictions:
        print(f"{count} of the answers about it contradicted what was known: counted, not believed")
    return 0
