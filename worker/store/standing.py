"""The standing of a waiting job: its queue position and its predicted wait, from lua/includes/standing.lua."""

from typing import NamedTuple

from worker.job.record import Milliseconds


class AccountState(NamedTuple):
    """One upstream account, as it matters for waiting jobs."""

    name: str
    held: int
    limit: int
    state: str
    """open, resting (it asked for a pause), broken (its circuit breaker is open) or drained (by an operator)."""
    paused_until: Milliseconds = 0
    reason: str = ""


class Standing(NamedTuple):
    """The position of a job in the queue; an unknown value is None."""

    position: int | None = None
    """Jobs of all tenants that go before it."""
    own_position: int | None = None
    """Jobs of its tenant that go before it."""
    own_waiting: int = 0
    """Jobs of its tenant that wait, itself included."""
    wait_ms: Milliseconds | None = None
    """Time until it has its place upstream."""
    done_ms: Milliseconds | None = None
    """Recent time from a job's place to its end."""
    held_back: str = ""
    """Why no job at all is handed out; empty: jobs are."""
    tenant_paused: str = ""
    """Why no job of its tenant is handed out; empty: jobs are."""
    accounts: tuple[AccountState, ...] = ()

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the job is expected to end."""
        if self.wait_ms is None or self.done_ms is None:
            return None
        return round((self.wait_ms + self.done_ms) / 1000, 1)


PLACED = Standing(position=0)
"""A job that did not have to wait."""
