"""What a job costs its tenant's budget, as a table over records."""

import pytest

from worker.job.cost import Cost, cost_of, day_of
from worker.job.record import Attempt, Job, Order, Status

JOB_ID = "01M859N4P0ZK88SXJWVC1PBXXR"


def job(status: Status, *attempts: str, samples: str | int | None = 2) -> Job:
    order = Order(JOB_ID, "acme", 1000, 9000, {"prompt": "a cat"} | ({"samples": samples} if samples else {}))
    made = [Attempt(number, f"{JOB_ID}-{number}", "key-1", 1, each) for number, each in enumerate(attempts, 1)]
    return Job(order, status=status, attempts=tuple(made))


@pytest.mark.parametrize(
    ("record", "cost"),
    [
        (job(Status.QUEUED), Cost(2, 0)),
        (job(Status.QUEUED, samples=None), Cost(1, 0)),
        (job(Status.QUEUED, "refused"), Cost(2, 0)),
        (job(Status.SUBMITTING, "submitting"), Cost(2, 0)),
        (job(Status.SUBMITTING, "refused", "submitting"), Cost(2, 0)),
        (job(Status.UNKNOWN, "unknown"), Cost(2, 0)),
        (job(Status.PROCESSING, "processing"), Cost(2, 0)),
        (job(Status.STORING, "succeeded"), Cost(0, 2)),
        (job(Status.SUCCEEDED, "succeeded"), Cost(0, 2)),
        (job(Status.FAILED, "failed"), Cost(0, 2)),
        # proven that nothing was bought: given back
        (job(Status.FAILED, "refused"), Cost(0, 0)),
        (job(Status.CANCELLED), Cost(0, 0)),
        (job(Status.EXPIRED), Cost(0, 0)),
        # nobody knows: kept open, also after the end
        (job(Status.EXPIRED, "unknown"), Cost(2, 0)),
        (job(Status.FAILED, "unknown"), Cost(2, 0)),
        # the upstream had it when the job ended
        (job(Status.CANCELLED, "processing"), Cost(0, 2)),
        # sent once more on the caller's word: both may have to be paid for
        (job(Status.QUEUED, "unknown"), Cost(4, 0)),
        (job(Status.SUCCEEDED, "unknown", "succeeded"), Cost(2, 2)),
        (job(Status.SUCCEEDED, "succeeded", "duplicate"), Cost(0, 4)),
    ],
)
def test_a_record_says_what_is_bought_and_what_may_still_be(record: Job, cost: Cost) -> None:
    """Reserved at accept, settled at the end, given back on proof, open while unknown."""
    assert cost_of(record) == cost


def test_the_day_of_a_budget_is_that_of_the_accept_in_utc() -> None:
    """A month is its first seven characters."""
    assert day_of(1_796_083_199_999) == "2026-11-30"
    assert day_of(1_796_083_200_000) == "2026-12-01"
