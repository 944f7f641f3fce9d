"""Whether a worker process stands still, as a table: what is seen, and what follows."""

import pytest

from worker.running.standing import FULL_SECONDS, Limits, Standing, Verdict, judge

LIMITS = Limits(stuck=60, orphan=85, leave=10)
WELL = Standing(stopping=None, idle=0, orphaned=False, loop_silent=0.5, consumer_silent=1, full=0, redis_answers=10_000)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ({}, Verdict.WELL),
        ({"idle": 9000}, Verdict.WELL),
        ({"loop_silent": 60}, Verdict.LOOP_STUCK),
        ({"loop_silent": 60, "stopping": 1}, Verdict.LOOP_STUCK),
        ({"orphaned": True}, Verdict.ORPHANED),
        ({"consumer_silent": 60}, Verdict.CONSUMER_STUCK),
        ({"consumer_silent": 600, "redis_answers": 0}, Verdict.WELL),
        ({"consumer_silent": 600, "redis_answers": 59}, Verdict.WELL),
        ({"full": FULL_SECONDS - 1}, Verdict.WELL),
        ({"full": FULL_SECONDS}, Verdict.POOL_STUCK),
        ({"stopping": LIMITS.leave, "consumer_silent": 600, "orphaned": True}, Verdict.WELL),
        ({"stopping": LIMITS.leave, "idle": 1}, Verdict.WELL),
        ({"stopping": LIMITS.leave, "idle": LIMITS.leave}, Verdict.DOES_NOT_LEAVE),
        ({"stopping": 84, "orphaned": True}, Verdict.WELL),
        ({"stopping": 85, "orphaned": True}, Verdict.DOES_NOT_LEAVE),
        ({"stopping": FULL_SECONDS - 1}, Verdict.WELL),
        ({"stopping": FULL_SECONDS}, Verdict.DOES_NOT_LEAVE),
    ],
)
def test_what_follows(seen: dict[str, object], verdict: Verdict) -> None:
    """A process that is told to stop is left its tasks in flight, and no longer than they may take."""
    assert judge(WELL._replace(**seen), LIMITS) is verdict


@pytest.mark.parametrize(
    ("seen", "takes"),
    [
        ({}, True),
        ({"consumer_silent": 6}, False),
        ({"stopping": 1}, False),
        ({"full": 800}, True),
        ({"full": 901}, False),
    ],
)
def test_whether_it_takes_messages(seen: dict[str, object], takes: bool) -> None:
    """What its heartbeat says."""
    assert WELL._replace(**seen).takes_messages is takes
