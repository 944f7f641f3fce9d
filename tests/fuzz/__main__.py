"""`make fuzz-parsers MINUTES=60 ONLY=picture,token SEED=1`: every target in turn, first by bytes, then by structure.

What it has learned stays in .fuzz/, so that the next run goes on from there; remove the folder to begin anew. The
totals of every run are appended to .fuzz/totals.jsonl. A finding is kept in .fuzz/found/TARGET, and the exit code is 1.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.every import TARGETS

FOLDER = Path(".fuzz")
MODES = ("bytes", "structured")
MOST_BYTES = 16_384
ONE_INPUT_SECONDS = 60
WORD = re.compile(rb"[\w:/@.+-]{2,24}")
RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
STARTED = re.compile(r"^#(\d+)\t", re.M)
COVERED = re.compile(r"cov: (\d+)")


class Total(NamedTuple):
    """What one target's turn came to."""

    target: str
    mode: str
    executions: int
    seconds: float
    covered: int
    """Places in the code that were reached."""
    found: int


def main() -> int:
    """Prints a row for every turn, and the sums."""
    names = list(filter(None, os.environ.get("ONLY", "").split(","))) or list(TARGETS)
    turns = [(name, mode) for name in names for mode in MODES]
    seconds = max(5, int(60 * float(os.environ.get("MINUTES") or 10) / len(turns)))
    totals = [_turn(name, mode, seconds) for name, mode in turns]
    executions, spent = sum(each.executions for each in totals), sum(each.seconds for each in totals)
    found = sum(each.found for each in totals)
    print(f"{executions:,} executions in {spent / 60:.0f} minutes, {found} findings")
    return bool(found)


def _turn(name: str, mode: str, seconds: int) -> Total:
    corpus, found = FOLDER / name / mode, FOLDER / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    before, began = len(list(found.iterdir())), time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.guided", name, mode, str(found), *_options(name, mode, seconds, found)]
    told = subprocess.run([*command, str(corpus)], capture_output=True, text=True, errors="replace", check=False)
    (FOLDER / f"{name}-{mode}.log").write_text(told.stderr[-20_000:])
    runs = RUNS.findall(told.stderr) or STARTED.findall(told.stderr) or ["0"]
    covered = COVERED.findall(told.stderr) or ["0"]
    new = len(list(found.iterdir())) - before or int(told.returncode != 0)
    total = Total(name, mode, int(runs[-1]), round(time.monotonic() - began, 1), int(covered[-1]), new)
    print(
        f"{name:14} {mode:10} {total.executions:12,} in {total.seconds:6.1f} s, {total.covered:5} reached, {new} found",
        flush=True,
    )
    with (FOLDER / "totals.jsonl").open("a") as file:
        file.write(json.dumps(total._asdict()) + "\n")
    return total


def _options(name: str, mode: str, seconds: int, found: Path) -> list[str]:
    seed = os.environ.get("SEED") or "1"
    common = [f"-max_total_time={seconds}", f"-timeout={ONE_INPUT_SECONDS}", f"-seed={seed}", "-print_final_stats=1"]
    common += [f"-artifact_prefix={found}/choices-", "-rss_limit_mb=2048", f"-max_len={MOST_BYTES}"]
    return [*common, f"-dict={_dictionary(name)}"] if mode == "bytes" else common


def _dictionary(name: str) -> Path:
    """The words of the seeds; writes the seeds beside what was learned."""
    words: set[bytes] = set()
    for number, seed in enumerate(TARGETS[name].seeds()):
        (FOLDER / name / "bytes" / f"seed-{number}").write_bytes(seed)
        words.update(WORD.findall(seed)[:200])
    path = FOLDER / f"{name}.dict"
    path.write_text("\n".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in sorted(words)))
    return path


if __name__ == "__main__":
    sys.exit(main())
