"""What the whole store holds at one moment, counted by Redis itself."""

from dataclasses import dataclass, field
from typing import Any

from worker.job.ids import created_at
from worker.job.record import Milliseconds


@dataclass(frozen=True, slots=True)
class Census:
    """Counts over all tenants and processes."""

    by_status: dict[str, int]
    waiting: int
    overdue_seconds: float
    in_flight: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    messages: dict[str, float] = field(default_factory=dict)
    steps: dict[tuple[str, str], int] = field(default_factory=dict)
    callbacks: int = 0
    winning_polls: int = 0
    images_away: bool = False
    audit_findings: int = 0
    tenants: dict[str, int] = field(default_factory=dict)
    """Waiting jobs by tenant, of at most 200 tenants."""
    oldest_waiting_at: Milliseconds | None = None
    """When the oldest of the jobs that go first was accepted."""
    paused: bool = False
    removals_failing: int = 0
    """Jobs and folders of forgotten jobs that could not be removed so far."""
    hold_seconds: float | None = None
    """How long a place upstream was held of late."""
    clock_steps: int = 0
    """How often Redis' clock was set while something of ours ran."""
    clock_ahead_seconds: float = 0.0
    """How much of that has not worn off yet."""


def parse_census(reply: list[Any]) -> Census:
    """The reply of lua/census.lua as a Census."""
    by_status, waiting, overdue_ms, upstreams, messages, steps, findings, tenants, paused, hold, failing, *clock = reply
    return Census(
        by_status={name: int(count) for name, count in _pairs(by_status).items()},
        waiting=int(waiting or 0),
        overdue_seconds=overdue_ms / 1000,
        in_flight={upstreams[at].decode(): float(upstreams[at + 1]) for at in range(0, len(upstreams), 3)},
        limits={
            upstreams[at].decode(): float(limit) for at in range(0, len(upstreams), 3) if (limit := upstreams[at + 2])
        },
        messages={name: float(count) for name, count in _pairs(messages).items()},
        steps={_step(name): int(count) for name, count in _pairs(steps).items()},
        audit_findings=int(findings),
        tenants={tenants[at].decode(): int(tenants[at + 1]) for at in range(0, len(tenants), 3)},
        oldest_waiting_at=min((created_at(first.decode()) for first in tenants[2::3] if first), default=None),
        paused=bool(paused),
        hold_seconds=int(hold) / 1000 if int(hold) >= 0 else None,
        removals_failing=int(failing),
        clock_steps=int(clock[0]),
        clock_ahead_seconds=int(clock[1]) / 1000,
    )


def _pairs(flat: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _step(name: str) -> tuple[str, str]:
    status, _, cause = name.partition(" ")
    return status, cause
