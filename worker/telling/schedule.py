"""Telling the caller, decided: whom, when again, and when to stop. Pure.

Source of the schedule and of disabling an endpoint: Svix, as the Standard Webhooks specification recommends.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from worker.job.record import Milliseconds

SCHEDULE_SECONDS = (0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""Pauses before each try; ±20 % so that an outage's end is no stampede."""
LONGEST_RETRY_AFTER_SECONDS = 36_000
MOST_ROWS_KEPT = 50
"""Rows of one delivery: replayed for ever it still stays small; `tries` counts them all."""

HUNG = frozenset({"TimeoutError", "ReadTimeout", "WriteTimeout", "ConnectTimeout"})
"""What a try is called that a receiver used up by saying nothing: such a one holds a place for all of it."""

STATES = ("pending", "delivered", "exhausted", "gone", "endpoint_disabled", "job_gone")
DELIVERY_ID = re.compile(r"msg_[0-9A-HJKMNP-TV-Z]{26}_[0-9]{1,9}")
ENDPOINT_ID = re.compile(r"ep_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a delivery goes to. What is counted per host and what is disabled as one endpoint follows from the URL.

    An endpoint is a tenant's URL without query and fragment: callers put a job's id or a token there, and each would
    be an endpoint of its own. A host is one with its port: another port is another server.
    """

    tenant: str
    url: str
    host: str
    endpoint: str
    address: str
    """The URL as it is shown: without query and fragment."""

    @classmethod
    def of(cls, tenant: str, url: str) -> Self:
        """The target at that URL, also where it cannot be read: then trying it becomes a failed try."""
        address = re.split("[?#]", url, maxsplit=1)[0]
        try:
            host = urlsplit(address).netloc.lower()
        except ValueError:
            host = ""
        return cls(tenant, url, host, f"ep_{sha256(address.encode()).hexdigest()[:16]}", address)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell one caller, with a row for each try."""

    id: str
    job_id: str
    tenant: str
    state: str
    created_at: Milliseconds
    attempts: tuple[dict[str, Any], ...] = ()
    tries: int = 0
    replayed_after: int = 0
    """How many tries there had been when it was last replayed: from there the schedule starts anew."""
    next_try_at: Milliseconds | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """What one POST to the caller came to."""

    status: int | None
    error: str | None
    answer: str
    seconds: float
    retry_after: float | None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def kind(self) -> Literal["ok", "failed", "hung", "gone"]:
        """What it says of the endpoint; `hung` where no answer came in time."""
        if self.status is None:
            return "hung" if self.error in HUNG else "failed"
        return "ok" if self.delivered else "gone" if self.status == 410 else "failed"


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a try: the delivery's state, and for `pending` the pause before the next one."""

    state: str
    pause_seconds: float | None = None


def after_try(tries: int, last: Try, chance: float) -> Next:
    """Whether and when to tell again, after so many tries since the last replay. `chance` is 0 to 1."""
    if last.delivered:
        return Next("delivered")
    if last.status == 410:
        return Next("gone")
    if tries >= len(SCHEDULE_SECONDS):
        return Next("exhausted")
    pause = SCHEDULE_SECONDS[tries] * (0.8 + 0.4 * chance)
    if last.retry_after and last.status in (429, 503):
        pause = max(pause, min(last.retry_after, LONGEST_RETRY_AFTER_SECONDS))
    return Next("pending", pause)


def try_row(at: Milliseconds, last: Try, following: Next) -> dict[str, Any]:
    """The row of one try, as the deliveries keeps it."""
    ended = at + int(last.seconds * 1000)
    return {
        "at": at,
        "status": last.status,
        "error": last.error,
        "answer": last.answer,
        "seconds": last.seconds,
        "next_at": None if following.pause_seconds is None else ended + int(following.pause_seconds * 1000),
    }
