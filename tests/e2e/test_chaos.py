"""The short form of `make chaos`: the same run, the same oracle, few enough jobs for every change."""

from pathlib import Path

import pytest

from tests.chaos import chaos


@pytest.mark.timeout(400)
def test_no_job_is_lost_or_bought_twice_while_everything_is_killed(tmp_path: Path) -> None:
    """Mixed faults, random kills, freezes and restarts; judged by the bill, the bytes and the receiver's inbox."""
    run, totals = chaos(tmp_path, jobs=160, seed=20261124)
    assert run.broken == []
    assert sum(run.acts.values()) > 3
    assert totals["lost"] == 0
