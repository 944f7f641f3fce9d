"""A delivery and its rows, whom it goes to, and the endpoint there: plain data, read and written by deliveries.py."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from worker.job.record import Milliseconds

Verdict = Literal["none", "endpoint_disabled", "put_off", "claimed"]
Cursor = tuple[Milliseconds, str]
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
class Claim:
    """What a worker that has a delivery's message may do with it; `at` is the time by Redis' clock."""

    verdict: Verdict
    at: Milliseconds
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a tenant's deliveries, newest first."""

    rows: tuple[Delivery, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a bulk replay came to. `next_since` is where to go on where there were more."""

    replayed: int
    skipped: int
    next_since: Milliseconds | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL of a tenant, without query, and how telling it goes."""

    id: str
    url: str
    told_at: Milliseconds | None
    failed_at: Milliseconds | None
    failing_since: Milliseconds | None
    failures: int
    disabled_at: Milliseconds | None
    reason: str | None
