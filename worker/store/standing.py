"""Where a waiting job stands, as lua/includes/standing.lua told it: before whom, behind whom, for how long. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from worker.job.record import Milliseconds


@dataclass(frozen=True, slots=True)
class KeyState:
    """One upstream key as waiting jobs see it."""

    name: str
    held: int
    limit: int
    state: str
    """open, resting (it asked for a pause), broken (its breaker is open) or drained (by an operator)."""
    paused_until: Milliseconds = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands in the queue; what is not known is None."""

    position: int | None = None
    """Jobs of all tenants that go before it."""
    own_position: int | None = None
    """Jobs of its tenant that go before it."""
    own_waiting: int = 0
    """Jobs of its tenant that wait, itself included."""
    wait_ms: Milliseconds | None = None
    """Until it has its place upstream."""
    done_ms: Milliseconds | None = None
    """From its place to its end, as it took of late."""
    held_back: str = ""
    """Why nothing at all is handed out."""
    tenant_paused: str = ""
    """Why nothing of its tenant is handed out."""
    keys: tuple[KeyState, ...] = field(default=())

    @property
    def eta_seconds(self) -> float | None:
        """Until the job is expected to end."""
        if self.wait_ms is None or self.done_ms is None:
            return None
        return round((self.wait_ms + self.done_ms) / 1000, 1)


PLACED = Standing(position=0)
"""A job that did not have to wait."""


def parse_standing(reply: Sequence[Any]) -> Standing:
    """The reply of standing_of() as a Standing."""
    before, own, size, wait, done, held_back, tenant_paused, keys = reply
    return Standing(
        position=int(before),
        own_position=int(own),
        own_waiting=int(size),
        wait_ms=_known(wait),
        done_ms=_known(done),
        held_back=held_back.decode(),
        tenant_paused=tenant_paused.decode(),
        keys=tuple(_key(keys[at : at + 6]) for at in range(0, len(keys), 6)),
    )


def parse_standings(reply: Sequence[Any], rows: bytes, jobs: int) -> tuple[Standing, ...]:
    """The standings of the jobs of one accept; `rows` as lua/accept.lua writes them, empty where none has to wait."""
    if not rows:
        return (PLACED,) * jobs
    shared = parse_standing(reply)
    return tuple(_of_row(shared, row) for row in rows.decode().split(","))


def _of_row(shared: Standing, row: str) -> Standing:
    if row == "-":
        return PLACED
    own, before, wait = row.split(" ")
    return replace(shared, own_position=int(own), position=int(before), wait_ms=_known(wait))


def _key(row: Sequence[Any]) -> KeyState:
    name, held, limit, state, until, reason = row
    return KeyState(name.decode(), int(held), int(limit), state.decode(), int(until), reason.decode())


def _known(ms: Any) -> Milliseconds | None:
    return int(ms) if int(ms) >= 0 else None
