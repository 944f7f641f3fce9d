"""Tenants whose images decode slowly, beside one whose images are quick: it does not wait for theirs.

Setup: our real processes, after a few images of each tenant, so that every decoder is started and it is known whose
turns are long (tests/unit/test_turns.py has what a tenant costs of which nothing is known). Timeline: the quiet
tenant's jobs one after another, first alone, then while three others have a hundred of the heaviest images that are
taken. Measured: from the quiet job's result to its images in the store.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_roles import storing
from tests.support.neighbours import Waits
from tests.support.processes import KEY, Installation, until

LOUD = ("loud", "noisy", "other")
JOBS_EACH = 8
QUIET_JOBS = 6
FLOOR_SECONDS = 1.0
"""The attack takes all of this machine's processors; before turns went by time, a quiet image waited for a minute."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    """One with four tenants."""
    keys = ",".join([f"acme:{KEY}", *(f"{tenant}:{tenant}-{KEY}" for tenant in LOUD)])
    with Installation(tmp_path, upstream_max_in_flight="1000", sandbox_seconds="0.05", api_keys=keys) as installation:
        yield installation


def seconds_to_store(here: Installation) -> list[float]:
    """Of each quiet job: from the moment in which its result was known until its image was stored."""
    found = []
    for number in range(QUIET_JOBS):
        job = here.reaches(here.post(f"a calm sea {number}")["id"], "succeeded", seconds=60)
        at = {row["to"]: datetime.fromisoformat(row["at"]) for row in job["timeline"]}
        found.append((at["succeeded"] - at["storing"]).total_seconds())
    return found


def attack(here: Installation, tenants: Sequence[str], jobs: int, samples: int = 4) -> None:
    """So many jobs of each of them, each with so many heavy images."""
    body = {"model_id": "m", "prompt": "[[image-heavy]] [[delay=0]]", "width": 64, "height": 64, "samples": samples}
    for tenant in tenants:
        headers = {"authorization": f"Bearer {tenant}-{KEY}"}
        answer = httpx.post(f"{here.client.base_url}/v1/jobs/batch", json=[body] * jobs, headers=headers)
        assert answer.status_code == 202, answer.text


def test_heavy_images_of_three_tenants_delay_nobody_elses(here: Installation) -> None:
    """They keep every decoder busy that they may have; a quick image finds one."""
    attack(here, LOUD, 1, samples=1)
    until(lambda: storing(here), what="heavy images under way")
    seconds_to_store(here)
    until(lambda: not storing(here), 60, "the end of them")
    calm = seconds_to_store(here)
    attack(here, LOUD, JOBS_EACH)
    until(lambda: storing(here) == len(LOUD) * JOBS_EACH, 30, "heavy images under way")
    here.reaches(here.post("a sea while they are fetched")["id"], "succeeded", seconds=60)
    loud = seconds_to_store(here)
    assert storing(here) > len(LOUD), "the attack was over too early"
    for name in list(here.processes):
        here.kill(name)  # nobody waits for these images
    Waits(calm, loud).check(floor=FLOOR_SECONDS)
