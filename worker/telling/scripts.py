"""The Lua scripts of deliveries, as Python calls them; telling/deliveries.py does."""

from collections.abc import Sequence
from typing import NamedTuple

from worker.job.record import Milliseconds
from worker.store.push import Push
from worker.store.script import script
from worker.telling.record import Verdict


class Bounds(NamedTuple):
    """Given to every script that hands out places: its locals `claim_ms` and `caps`."""

    claim_ms: Milliseconds
    """How long the place of one try is held at most."""
    caps: bytes
    """JSON: most tries at once to an `endpoint`, of a `tenant`, to a `host`, and of a tenant to a host (`pair`)."""


class ClaimReply(NamedTuple):
    """What may be done with a delivery; its fields where it was claimed."""

    now: Milliseconds
    verdict: Verdict
    fields: dict[str, str] | None = None


class KeptTry(NamedTuple):
    """Why the endpoint is disabled by this try; empty where it is not."""

    disabled: str = ""


class Row(NamedTuple):
    """A delivery, by its fields."""

    id: str
    fields: dict[str, str]


class Last(NamedTuple):
    """The last delivery that was looked at: when it was made, and its id."""

    at: Milliseconds
    id: str


class PageReply(NamedTuple):
    """Deliveries, newest first; `last` is where to go on, None where there are no more."""

    rows: list[Row]
    last: Last | None = None


class Verdicts(NamedTuple):
    """In the order asked for: missing, other_state, endpoint_disabled, under_way, replayed."""

    verdicts: list[str]


@script
def claim_delivery(
    *, push: Push, bounds: Bounds, delivery_id: str, tenant: str, host: str, endpoint: str, in_line_ms: Milliseconds
) -> ClaimReply:
    """The right to one try. One in line looks again by itself after `in_line_ms`."""


@script
def keep_try(
    *,
    push: Push,
    bounds: Bounds,
    delivery_id: str,
    tries: int,
    rows: bytes,
    state: str,
    wait_ms: Milliseconds | None,
    tenant: str,
    host: str,
    endpoint: str,
    address: str,
    came_to: str,
    failing_ms: Milliseconds,
    quiet_ms: Milliseconds,
) -> KeptTry:
    """Writes the rows of a delivery with one more try, after `tries`; `wait_ms` is the time until the next, if any.

    `came_to` is ok, failed, hung or gone. An endpoint that has failed for `failing_ms` is disabled; failures that lie
    `quiet_ms` apart are not one outage.
    """


@script
def look_at_lines(*, push: Push, bounds: Bounds, most: int) -> None:
    """Gives the places of workers that died to those in line, of at most so many lines."""


@script
def close_delivery(*, delivery_id: str, state: str) -> None:
    """Ends a delivery that cannot be made."""


@script
def page_deliveries(
    *,
    tenant: str,
    since: Milliseconds,
    only: str | None,
    most: int,
    looked_at: int,
    cursor_at: Milliseconds | None,
    cursor_id: str | None,
) -> PageReply:
    """At most `most` deliveries in the state `only`, made since then, behind the cursor; of the next `looked_at`."""


@script
def replay_deliveries(
    *, tenant: str, pace_ms: Milliseconds, counts_only: bool, only: str | None, delivery_ids: Sequence[str]
) -> Verdicts:
    """Has deliveries told again, `pace_ms` apart, or 0 for at once; only those in the state `only`."""
