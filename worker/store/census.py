"""The census: counts over the whole store at one moment, for metrics. The calling contract of lua/census.lua."""

from dataclasses import dataclass, field
from typing import NamedTuple

from worker.job.ids import created_at
from worker.job.record import Milliseconds
from worker.store.script import script


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
    """When the oldest of the jobs at the head of their backlogs was accepted (ms since 1970)."""
    paused: bool = False
    removals_failing: int = 0
    """Jobs and folders that could not be removed so far."""
    hold_seconds: float | None = None
    """How long places upstream have been held recently, in seconds."""
    clock_steps: int = 0
    """How often Redis' clock was set while Darkroom ran."""
    parked: dict[tuple[str, str], int] = field(default_factory=dict)
    """Parked messages, by queue and reason."""
    untaken_seconds: dict[str, float] = field(default_factory=dict)
    """Since when no worker has looked at the queue, in seconds."""
    clock_ahead_seconds: float = 0.0
    """The part of the difference that has not worn off yet, in seconds."""


class AccountRow(NamedTuple):
    """An upstream account; without a limit if no worker has it in its configuration."""

    name: str
    held: int
    limit: float | None


class TenantRow(NamedTuple):
    """A tenant with waiting jobs, and the first of them."""

    name: str
    waiting: int
    first: str | None


class CensusReply(NamedTuple):
    """All counts, of the same moment."""

    now: Milliseconds
    by_status: dict[str, int]
    accounts: list[AccountRow]
    messages: dict[str, float]
    steps: dict[str, int]
    tenants: list[TenantRow]
    paused: bool
    overdue_ms: Milliseconds
    """By how much the oldest due job is late."""
    removals_failing: int
    clock_ahead_ms: Milliseconds
    parked: dict[str, int]
    takers: dict[str, int]
    """Queue → when a worker last looked at it."""
    waiting: int = 0
    audit_findings: int = 0
    hold_ms: Milliseconds | None = None
    clock_steps: int = 0


@script
def census(*, prefix: str) -> CensusReply:
    """Counts over the whole store. `prefix` is that of Celery's queues."""


def counted(reply: CensusReply) -> Census:
    """The reply of lua/census.lua as a Census."""
    return Census(
        by_status=reply.by_status,
        waiting=reply.waiting,
        overdue_seconds=reply.overdue_ms / 1000,
        in_flight={each.name: float(each.held) for each in reply.accounts},
        limits={each.name: each.limit for each in reply.accounts if each.limit is not None},
        messages=reply.messages,
        steps={_pair(name): count for name, count in reply.steps.items()},
        parked={_pair(name): count for name, count in reply.parked.items()},
        untaken_seconds={queue: max(0, reply.now - at) / 1000 for queue, at in reply.takers.items()},
        audit_findings=reply.audit_findings,
        tenants={each.name: each.waiting for each in reply.tenants},
        oldest_waiting_at=min((created_at(each.first) for each in reply.tenants if each.first), default=None),
        paused=reply.paused,
        hold_seconds=None if reply.hold_ms is None else reply.hold_ms / 1000,
        removals_failing=reply.removals_failing,
        clock_steps=reply.clock_steps,
        clock_ahead_seconds=reply.clock_ahead_ms / 1000,
    )


def _pair(name: str) -> tuple[str, str]:
    first, _, second = name.partition(" ")
    return first, second
