"""A delivery with its tries, its target and its endpoint: plain data, read and written by deliveries.py."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from worker.job.ids import DELIVERY_ID as DELIVERY_ID
from worker.job.record import Milliseconds

Verdict = Literal["none", "endpoint_disabled", "put_off", "claimed"]
Cursor = tuple[Milliseconds, str]
STATES = ("pending", "delivered", "exhausted", "gone", "endpoint_disabled", "job_gone")
ENDPOINT_ID = re.compile(r"ep_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Target:
    """The receiver of a delivery. Host (for limits) and endpoint (for disabling) follow from the URL.

    An endpoint is a tenant's URL without query and fragment: callers put job ids or tokens there, and each would make
    another endpoint. A host includes its port, because another port is another server.
    """

    tenant: str
    url: str
    host: str
    endpoint: str
    address: str
    """The URL as it is shown, without query and fragment."""

    @classmethod
    def of(cls, tenant: str, url: str) -> Self:
        """The target of that URL. An unreadable URL gives a target as well; its try will fail."""
        address = re.split("[?#]", url, maxsplit=1)[0]
        try:
            host = urlsplit(address).netloc.lower()
        except ValueError:
            host = ""
        return cls(tenant, url, host, f"ep_{sha256(address.encode()).hexdigest()[:16]}", address)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook delivery, with a row for each try. Times are ms since 1970."""

    id: str
    job_id: str
    tenant: str
    state: str
    created_at: Milliseconds
    attempts: tuple[dict[str, Any], ...] = ()
    tries: int = 0
    replayed_after: int = 0
    """Number of tries before the last replay; the schedule starts again from there."""
    next_try_at: Milliseconds | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker may do with a delivery. `at` is ms since 1970 by Redis' clock."""

    verdict: Verdict
    at: Milliseconds
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a tenant's deliveries, newest first."""

    rows: tuple[Delivery, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a bulk replay. `next_since` is where the next call continues, if there were more."""

    replayed: int
    skipped: int
    next_since: Milliseconds | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A tenant's webhook address without query, and whether its deliveries succeed."""

    id: str
    url: str
    told_at: Milliseconds | None
    failed_at: Milliseconds | None
    failing_since: Milliseconds | None
    failures: int
    disabled_at: Milliseconds | None
    reason: str | None
