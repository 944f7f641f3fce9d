"""The short form of `make chaos`: the same run, the same oracle, few enough jobs for every change."""

from pathlib import Path

import pytest

from tests.chaos.run import Wanted, chaos

SHORT = Wanted(
    jobs=120, seed=20261124, rate=12, kill_every_seconds=1.2, calm_seconds=2, deadline_seconds=15,
    after_load_seconds=2, fills_memory=False,
)  # fmt: skip


@pytest.mark.timeout(300)
def test_no_job_is_lost_or_bought_twice_while_everything_is_killed(tmp_path: Path) -> None:
    """Mixed faults, random kills, freezes and restarts; judged by the bill, the bytes and the receiver's inbox."""
    run = chaos(tmp_path, SHORT)
    assert "\n".join(run.broken) == ""
    assert run.totals["jobs accepted"] > SHORT.jobs
    assert run.totals["kills (SIGKILL)"] > 2
