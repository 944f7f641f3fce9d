"""`make mutants`: small faults are planted one at a time; which of them does no test notice?

Python (mutmut, every mutant): worker/job/{decisions,attempts,endings,outcomes,timing,cost}.py and what an answer proves
(worker/upstream/modelslab/outcome.py).
Lua (tests/mutants/lua.py): SAMPLE mutants drawn by SEED, all of them with SAMPLE=0; ONLY=advance,tick names scripts.
Everything happens in copies of the tree. A run that takes much longer than without a fault counts as noticed.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.mutants.lua import Mutant, mutants

ROOT = Path(__file__).parent.parent.parent
COPIED = ("api", "config", "worker", "tests", "docs", "pyproject.toml")
LUA = Path("worker", "store", "lua")
PARALLEL = 2
PURE = (
    "job/decisions",
    "job/attempts",
    "job/endings",
    "job/outcomes",
    "job/timing",
    "job/cost",
    "upstream/modelslab/outcome",
)
PURE_TESTS = (
    "test_every_step",
    "test_decisions",
    "test_decisions_of_ends",
    "test_claims",
    "test_attempts",
    "test_late_words",
    "test_endings",
    "test_timing",
    "test_cost",
    "test_outcome",
    "test_outcome_waits",
)
COLLECTING = "times collecting"
PLACES, SPENT = "places shared_ids", "budgets buying_again"
STORE, FLOW, TOLD = "store due handing_out", "governor flow_control waits", "deliveries delivery_endpoints"
LUA_TESTS = {
    "queue": f"{PLACES} bookkeeping one_moment {STORE} fairness {FLOW} state_machine",
    "governor": f"one_moment {PLACES} {FLOW} state_machine",
    "accept": f"bookkeeping {STORE} {SPENT} fairness {FLOW} state_machine",
    "advance": f"waiting bookkeeping times {PLACES} {STORE} {SPENT} {FLOW} {TOLD} forgetting state_machine",
    "tick": f"waiting bookkeeping times {PLACES} overdue {STORE} {TOLD} state_machine",
    "callback": f"times {STORE} state_machine",
    "budget": f"bookkeeping {SPENT} state_machine",
    "standing": f"fairness {FLOW} {SPENT}",
    "forget": f"forgetting {STORE} ghosts {TOLD} state_machine",
    "overdue": "overdue",
    "collecting": COLLECTING,
    "claim_collection": COLLECTING,
    "keep_collecting": COLLECTING,
    "end_collection": COLLECTING,
}
OTHER_LUA_TESTS = f"times {STORE} ghosts audit {SPENT} fairness {FLOW} {TOLD} keys state_machine"
Place = tuple[Path, str, Mutant]


def main() -> int:
    """Both runs; prints the share of survivors per file and each survivor."""
    with tempfile.TemporaryDirectory(prefix="darkroom-mutants-") as folder:
        if not os.environ.get("ONLY"):
            _python(Path(folder))
        _lua(Path(folder))
    return 0


def _python(folder: Path) -> None:
    tree = _copy(folder / "python")
    tests = [f"tests/unit/{name}.py" for name in PURE_TESTS if (tree / f"tests/unit/{name}.py").exists()]
    with (tree / "pyproject.toml").open("a") as settings:
        settings.write(
            '\n[tool.mutmut]\nsource_paths = ["worker/"]\n'
            'also_copy = ["api/", "config/", "worker/", "tests/", "docs/"]\n'
            f"only_mutate = {[f'worker/{name}.py' for name in PURE]}\npytest_add_cli_args_test_selection = {tests}\n"
        )
    mutmut = [sys.executable, "-m", "mutmut"]
    run = [*mutmut, "run", "--max-children", str(PARALLEL)]
    if subprocess.run(run, cwd=tree, stdout=subprocess.DEVNULL, check=False).returncode:
        raise SystemExit(f"the tests fail without any fault, or mutmut does: {tests}")
    told = subprocess.run([*mutmut, "results", "--all", "true"], cwd=tree, capture_output=True, text=True, check=True)
    totals: Counter[str] = Counter()
    survived: dict[str, list[str]] = defaultdict(list)
    for line in told.stdout.splitlines():
        name, _, verdict = line.strip().rpartition(": ")
        file = name.partition(".x")[0]
        totals[file] += bool(name)
        if verdict in ("survived", "no tests"):
            survived[file].append(name)
    for file in totals:
        _say(file, len(survived[file]), totals[file])
        for name in survived[file]:
            shown = subprocess.run([*mutmut, "show", name], cwd=tree, capture_output=True, text=True, check=False)
            changed = [
                each for each in shown.stdout.splitlines() if each[:1] in "+-" and each[:3] not in ("+++", "---")
            ]
            print(f"  {name}", *changed, sep="\n    ")


def _lua(folder: Path) -> None:
    trees: Queue[Path] = Queue()
    for number in range(PARALLEL):
        trees.put(_copy(folder / f"lua-{number}"))
    drawn = _drawn()
    longest = {tests: _longest(trees, tests) for tests in {_tests(script) for script, _ in drawn}}

    def survives(each: tuple[str, Mutant]) -> bool:
        script, mutant = each
        return _survives(trees, script, mutant, longest[_tests(script)])

    with ThreadPoolExecutor(PARALLEL) as pool:
        verdicts = list(pool.map(survives, drawn))
    totals = Counter(script for script, _ in drawn)
    for script in sorted(totals):
        alive = [
            mutant for (name, mutant), survived in zip(drawn, verdicts, strict=True) if survived and name == script
        ]
        _say(f"{script}.lua", len(alive), totals[script])
        for mutant in alive:
            print(f"  line {mutant.line}:\n    - {mutant.was}\n    + {mutant.becomes}")
    _say("all scripts", sum(verdicts), len(verdicts))


def _drawn() -> list[tuple[str, Mutant]]:
    only = set(filter(None, os.environ.get("ONLY", "").split(",")))
    files = sorted((ROOT / LUA).rglob("*.lua"))
    every = [(file.stem, each) for file in files if not only or file.stem in only for each in mutants(file.read_text())]
    size = int(os.environ.get("SAMPLE") or 150)
    if not size or size >= len(every):
        return every
    return random.Random(int(os.environ.get("SEED") or 1)).sample(every, size)


def _tests(script: str) -> str:
    return LUA_TESTS.get(script, OTHER_LUA_TESTS)


def _longest(trees: "Queue[Path]", tests: str) -> float:
    """How long a run with a fault may take; without one it must pass."""
    tree, began = trees.get(), time.monotonic()
    try:
        if _run(tree, tests, 600) != 0:
            raise SystemExit(f"the tests fail without any fault: {tests}")
        return 15 + 4 * (time.monotonic() - began)
    finally:
        trees.put(tree)


def _survives(trees: "Queue[Path]", script: str, mutant: Mutant, seconds: float) -> bool:
    tree = trees.get()
    [file] = (tree / LUA).rglob(f"{script}.lua")
    kept = file.read_text()
    try:
        file.write_text(mutant.script)
        return _run(tree, _tests(script), seconds) == 0
    finally:
        file.write_text(kept)
        trees.put(tree)


def _run(tree: Path, tests: str, seconds: float) -> int | None:
    files = [f"tests/integration/test_{name}.py" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTHONPATH": str(tree), "STATE_MACHINE_EXAMPLES": "6"}
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, timeout=seconds, capture_output=True, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def _copy(tree: Path) -> Path:
    tree.mkdir()
    for name in COPIED:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tree / name, ignore=ignored) if source.is_dir() else shutil.copy(source, tree / name)
    return tree


def _say(name: str, survived: int, total: int) -> None:
    print(f"{name}: {survived} of {total} survived ({100 * survived / max(1, total):.1f} %)", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
