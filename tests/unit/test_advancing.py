"""What a step tells Redis follows from the two records alone: any process would tell it the same."""

import os
import subprocess
import sys
from dataclasses import replace

from worker.job.record import Job, Order
from worker.store.advancing import jitter

JOB = Job(Order("01M859N4P0ZK88SXJWVC1PBXXR", "acme", 1000, 9000, {}))


def jitter_elsewhere(seed: str) -> str:
    """The jitter of JOB in another process, whose hashes of text are its own."""
    program = "from tests.unit.test_advancing import JOB; from worker.store.advancing import jitter; print(jitter(JOB))"
    environment = os.environ | {"PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_every_process_has_the_same_jitter_for_one_version() -> None:
    """So a step that is written again after a lost reply asks for the same pause."""
    assert jitter_elsewhere("1") == jitter_elsewhere("2") == str(jitter(JOB))


def test_jitter_is_spread_over_jobs_and_versions() -> None:
    """From 0 to 1."""
    spread = [jitter(replace(JOB, version=version)) for version in range(1000)]
    assert 0 <= min(spread) < 0.01
    assert 0.99 < max(spread) < 1
    assert 0.45 < sum(spread) / len(spread) < 0.55
