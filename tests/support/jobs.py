"""Records as they stand at each status, and what an upstream may have said of them."""

from typing import Any

from worker.job.answer import Answer
from worker.job.record import Attempt, Image, Job, Order, Status
from worker.job.timing import Durations

JOB_ID = "01M859N4P0ZK88SXJWVC1PBXXR"
NOW, DEADLINE = 100_000, 3_700_000
DURATIONS = Durations(submit_lease=80_000, work_lease=60_000, unknown_wait=300_000)
SUCCESS = Answer("success", request_id="77", links=("https://cdn/a.png",))
PROCESSING = Answer("processing", request_id="77", eta_seconds=5)
FAILED = Answer("failed", request_id="77", message="out of memory")
IMAGE = Image(0, "a/b.png", "ab" * 32, 512, 512, "PNG", 1234)


def job(status: Status = Status.QUEUED, attempts: tuple[Attempt, ...] = (), **changes: Any) -> Job:
    on_unknown = changes.pop("on_unknown", "hold")
    order = Order(JOB_ID, "acme", 1000, DEADLINE, {"prompt": "a cat", "samples": 1}, on_unknown=on_unknown)
    return Job(order, status=status, attempts=attempts, **changes)


def attempt(status: str = "submitting", number: int = 1, **changes: Any) -> Attempt:
    return Attempt(number, f"{JOB_ID}-{number}", "key-1", 50_000, status, **changes)


SUBMITTING = job(Status.SUBMITTING, (attempt(),))
UNKNOWN = job(Status.UNKNOWN, (attempt("unknown"),), unknown_until=400_000)
IN_WORK = job(Status.PROCESSING, (attempt("processing", request_id="77"),))
STORING = job(Status.STORING, (attempt("succeeded", request_id="77"),), links=SUCCESS.links, completed_via="callback")


def known(*states: str | tuple[str, str | None]) -> tuple[Attempt, ...]:
    """Attempts by their status, or status and request id."""
    pairs = [(each, None) if isinstance(each, str) else each for each in states]
    return tuple(attempt(status, number, request_id=an_id) for number, (status, an_id) in enumerate(pairs, 1))


def again(*states: str | tuple[str, str | None], status: Status = Status.QUEUED, **more: Any) -> Job:
    """A job that was resubmitted, with what is known of its attempts."""
    return job(status, known(*states), resubmitted=True, **more)
