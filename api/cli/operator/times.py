"""Times in the options of operators' verbs."""

import argparse

from worker.job.record import Milliseconds
from worker.job.times import from_rfc3339

EXAMPLE = "such as 2026-11-23T12:00:00Z"


def read_time(text: str) -> Milliseconds:
    """The time (ms since 1970) for a verb that changes no job; without a zone it is UTC."""
    try:
        return from_rfc3339(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not an RFC 3339 time {EXAMPLE}") from None


def read_time_with_zone(text: str) -> Milliseconds:
    """The time (ms since 1970) for a verb that removes or ends jobs: a zone is required, it is never guessed."""
    try:
        return from_rfc3339(text, needs_zone=True)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not an RFC 3339 time with its zone, {EXAMPLE}") from None
