"""`python -m tests.chaos`: JOBS, SEED, RUNS, RATE (jobs a second), KILL_EVERY (seconds), KEEP (a folder)."""

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.report import markdown_table, waits_table
from tests.chaos.run import Run, Wanted, chaos

MOST_SHOWN = 40


def main() -> int:
    """Runs RUNS times with growing seeds, prints one table, and fails where a promise was broken."""
    said = os.environ.get
    first = int(said("SEED", "") or random.randrange(10**6))
    runs = []
    for number in range(int(said("RUNS", "") or 1)):
        wanted = Wanted(
            jobs=int(said("JOBS", "") or 2000), seed=first + number, rate=float(said("RATE", "") or 40),
            kill_every_seconds=float(said("KILL_EVERY", "") or 2),
        )  # fmt: skip
        print(f"chaos: {wanted.jobs} jobs at {wanted.rate:g} a second, seed {wanted.seed}", flush=True)
        runs.append(_run(wanted))
        print(waits_table(runs[-1:]), flush=True)
        for finding in runs[-1].broken[:MOST_SHOWN]:
            print(f"BROKEN  {finding}", flush=True)
    print(markdown_table(runs))
    print(waits_table(runs))
    broken = sum(len(run.broken) for run in runs)
    print(f"{sum(run.totals.get('jobs accepted', 0) for run in runs)} jobs, {broken} broken promises")
    return 1 if broken else 0


def _run(wanted: Wanted) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        run = chaos(Path(folder), wanted)
        keep = os.environ.get("KEEP")
        if run.broken and keep:
            shutil.copytree(folder, Path(keep) / f"seed-{wanted.seed}", dirs_exist_ok=True)
    return run


if __name__ == "__main__":
    sys.exit(main())
