"""The one sentence that says why a job waits."""

from dataclasses import replace

import pytest

from worker.job.record import Attempt, Job, Order, Status
from worker.shown.explain import explain
from worker.store.standing import PLACED, AccountState, Standing

JOB = Job(Order("01M859N4P0ZK88SXJWVC1PBXXR", "acme", 1000, 9000, {}))
STANDING = Standing(
    position=9,
    own_position=2,
    own_waiting=12,
    wait_ms=39_700,
    done_ms=3000,
    accounts=(AccountState("eu-1", 10, 10, "open"),),
)
REFUSED = replace(JOB, attempts=(Attempt(1, "t", "eu-1", 1, "refused", outcome="busy"),))


@pytest.mark.parametrize(
    ("job", "standing", "sentence"),
    [
        (JOB, STANDING, "3rd of 12 of tenant acme; 7 of other tenants go before it; key eu-1 at 10 of 10; about 40 s."),
        (JOB, PLACED, "It has its place upstream and waits for a worker."),
        (
            JOB,
            STANDING._replace(
                position=2,
                accounts=(AccountState("eu-1", 0, 5, "broken", 12_000, "key_refused"),),
                wait_ms=None,
            ),
            "3rd of 12 of tenant acme; key eu-1 is tried again in 7 s (the upstream refused our key).",
        ),
        (
            JOB,
            STANDING._replace(position=2, held_back="by an operator", wait_ms=None),
            "3rd of 12 of tenant acme; everything is held back: by an operator.",
        ),
        (
            JOB,
            STANDING._replace(position=3, tenant_paused="unpaid", wait_ms=None),
            "3rd of 12 of tenant acme; 1 of other tenants goes before it; its tenant is paused: unpaid.",
        ),
        (
            REFUSED,
            STANDING._replace(position=2, accounts=()),
            (
                "3rd of 12 of tenant acme; no worker with an upstream key is there; "
                "it was tried before, but the upstream's queue was full; about 40 s."
            ),
        ),
    ],
)
def test_a_waiting_job_is_told_before_whom_and_behind_what(job: Job, standing: Standing, sentence: str) -> None:
    """Its place among its tenant's, the others, what holds it, how long."""
    assert explain(job, standing, 5000) == sentence


def test_a_job_whose_turn_came_too_late_is_told_so() -> None:
    """It ended before its deadline, unbought."""
    before = replace(JOB, status=Status.EXPIRED, finished_at=JOB.order.deadline_at - 1)
    after = replace(before, finished_at=JOB.order.deadline_at)
    assert explain(before, STANDING, 5000).startswith("Its turn came too late")
    assert explain(after, STANDING, 5000).startswith("Its deadline passed")
