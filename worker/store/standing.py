"""Where a waiting job stands, as lua/includes/standing.lua tells it: before whom, behind whom, for how long."""

from typing import NamedTuple

from worker.job.record import Milliseconds


class AccountState(NamedTuple):
    """One upstream account as waiting jobs see it."""

    name: str
    held: int
    limit: int
    state: str
    """open, resting (it asked for a pause), broken (its circuit breaker is open) or drained (by an operator)."""
    paused_until: Milliseconds = 0
    reason: str = ""


class Standing(NamedTuple):
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
    accounts: tuple[AccountState, ...] = ()

    @property
    def eta_seconds(self) -> float | None:
        """Until the job is expected to end."""
        if self.wait_ms is None or self.done_ms is None:
            return None
        return round((self.wait_ms + self.done_ms) / 1000, 1)


PLACED = Standing(position=0)
"""A job that did not have to wait."""
