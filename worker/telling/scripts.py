"""The Lua scripts of webhook deliveries as Python functions, used by deliveries.py."""

from collections.abc import Sequence
from typing import NamedTuple

from worker.job.record import Milliseconds
from worker.store.push import Push
from worker.store.script import script
from worker.telling.record import Verdict


class Bounds(NamedTuple):
    """Given to every script that gives out places: its locals `claim_ms` and `caps`."""

    claim_ms: Milliseconds
    """How long the place of one try is held at most."""
    caps: bytes
    """JSON: most tries at once to an `endpoint`, of a `tenant`, to a `host`, of a tenant to a host (`pair`), and of a
    tenant to endpoints whose last try was not answered, or that had none yet (`unproven`)."""


class ClaimReply(NamedTuple):
    """Whether a try may be made; the delivery's fields if it was claimed."""

    now: Milliseconds
    verdict: Verdict
    fields: dict[str, str] | None = None


class KeptTry(NamedTuple):
    """Why this try disabled the endpoint; empty: it did not."""

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
    """Deliveries, newest first. `last` is where the next page continues; None: there are no more."""

    rows: list[Row]
    last: Last | None = None


class Verdicts(NamedTuple):
    """In the order of the request: missing, other_state, endpoint_disabled, under_way or replayed."""

    verdicts: list[str]


@script
def claim_delivery(
    *, push: Push, bounds: Bounds, delivery_id: str, tenant: str, host: str, endpoint: str, in_line_ms: Milliseconds
) -> ClaimReply:
    """Claims one try. A delivery in line is due again after `in_line_ms` in any case."""


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
    """Gives the places of workers that died to deliveries in line; checks at most so many lines."""


@script
def close_delivery(*, delivery_id: str, state: str) -> None:
    """Ends a delivery that cannot be sent."""


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
    """At most `most` deliveries in the state `only`, made since then, after the cursor; looks at `looked_at`."""


@script
def replay_deliveries(
    *, tenant: str, pace_ms: Milliseconds, counts_only: bool, only: str | None, delivery_ids: Sequence[str]
) -> Verdicts:
    """Replays deliveries in the state `only`, `pace_ms` apart (0: at once)."""
