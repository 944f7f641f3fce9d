"""The ids that we make: of a job, of one attempt (its `track_id`, which the upstream repeats), of a delivery."""

import re
import secrets

from worker.job.record import Milliseconds

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MOST_DIGITS = 9
"""Most digits of an attempt's number: a job that is refused until its deadline makes thousands of attempts."""
DELIVERY_ID = re.compile(r"msg_[0-9A-HJKMNP-TV-Z]{26}_[0-9]{1,9}")

_newest = 0
"""The newest id of this process, as a number."""


def new_job_id(now: Milliseconds) -> str:
    """A ULID: 48 bits of time, 79 random bits, 26 characters; sorts by age.

    Ids of the same process and millisecond grow, so that the jobs of a batch keep their order.
    """
    global _newest
    fresh = (now << 80) | secrets.randbits(79)  # room to grow by
    number = _newest + 1 + secrets.randbits(32) if _newest >> 80 == now else fresh
    _newest = number
    return "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def is_job_id(text: str) -> bool:
    """Whether the text could be one of our ids, before anything is looked up with it."""
    return len(text) == 26 and text[0] in "01234567" and all(letter in CROCKFORD for letter in text)


def created_at(job_id: str) -> Milliseconds:
    """The time in a job's id."""
    number = 0
    for letter in job_id[:10]:
        number = number * 32 + CROCKFORD.index(letter)
    return number


def attempt_track_id(job_id: str, number: int) -> str:
    """The track_id of one attempt; its callback token carries it as well."""
    return f"{job_id}-{number}"


def parse_track_id(track_id: str) -> tuple[str, int] | None:
    """The job id and attempt number in a track_id of ours, or None."""
    job_id, dash, number = track_id.partition("-")
    if not (dash and is_job_id(job_id) and number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS):
        return None
    return job_id, int(number)
