"""The totals of several runs as tables for docs/reliability.md. Pure."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.run import Run

PHASES = ("calm", "plain load", "loud load", "kills", "calm again")


def markdown_table(runs: "Sequence[Run]") -> str:
    """One column a run, and the sum of all of them."""
    names = list(dict.fromkeys(name for run in runs for name in run.totals))
    rows = [
        ["", *(f"seed {run.wanted.seed}" for run in runs), "together"],
        ["---"] * (len(runs) + 2),
        *(
            [name.replace("  ", "– "), *(str(run.totals.get(name, 0)) for run in runs), str(_together(runs, name))]
            for name in names
        ),
        ["seconds", *(str(run.seconds) for run in runs), str(sum(run.seconds for run in runs))],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def waits_table(runs: "Sequence[Run]") -> str:
    """The quiet tenant: seconds from its POST until it was told, by phase, and how many times those of calm."""
    calm = [wait for run in runs for wait in run.waits.get("calm", [])]
    rows = [["the quiet tenant", "jobs", "p50", "p99", "longest", "p50 / calm", "p99 / calm"], ["---"] * 7]
    for phase in PHASES:
        waits = [wait for run in runs for wait in run.waits.get(phase, [])]
        if waits and calm:
            middle, last = percentile(waits, 50), percentile(waits, 99)
            ratios = (middle / percentile(calm, 50), last / percentile(calm, 99))
            numbers = [f"{value:.2f} s" for value in (middle, last, max(waits))] + [f"{ratio:.1f}" for ratio in ratios]
            rows.append([phase, str(len(waits)), *numbers])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def percentile(values: Iterable[float], percent: int) -> float:
    """The smallest value that so many per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _together(runs: "Sequence[Run]", name: str) -> int:
    return sum(run.totals.get(name, 0) for run in runs)
