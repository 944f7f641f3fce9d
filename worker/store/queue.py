"""The queue between the door and the workers: what is due, what is overdue, which accounts take jobs.

Any number of processes may do all of this at any time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from config.broker import OLD_KEY_PREFIX, QUEUES
from worker.job.record import Job, Milliseconds
from worker.store.lane import Lane
from worker.store.push import Push
from worker.store.script import script

FIRST_LIMIT_TRIED = 5
"""The smallest plan's queue: where learning an account's limit starts."""

Mending = Literal["dequeue", "keep_place", "drop_place", "forget"]


@dataclass(frozen=True, slots=True)
class UpstreamLimit:
    """An account of the pool, by name, and how many jobs it may hold (0: learned)."""

    name: str
    limit: int


class Configured(NamedTuple):
    """An account of a worker's configuration; `limit` 0 for one that is learned, from `first_limit` on."""

    name: str
    limit: int
    first_limit: int


class Ticked(NamedTuple):
    """What one tick has moved, and how long until the next job is due; None where there is none."""

    jobs: int
    deliveries: int
    wait: Milliseconds | None


class OverdueReply(NamedTuple):
    """Jobs that waited past their deadline."""

    ids: list[str]


class Adopted(NamedTuple):
    """How many messages were moved."""

    messages: int


@script
def tick(*, push: Push, most: int) -> Ticked:
    """Moves what is due into Celery, so many jobs and so many deliveries at most."""


@script
def overdue(*, lease_ms: Milliseconds, most: int) -> OverdueReply:
    """Hands out jobs that waited past their deadline."""


@script
def configure(*, push: Push, accounts: Sequence[Configured]) -> None:
    """Makes the accounts of a worker's configuration known to the queue."""


@script
def adopt_messages(*, old_prefix: str, prefix: str, most: int, queues: Sequence[str]) -> Adopted:
    """Takes over messages from where a version before this one keeps them."""


@script
def put_back(*, push: Push, job_id: str) -> None:
    """Puts a queued job that stands nowhere back into its queue."""


@script
def mend(*, push: Push, what: str, job_id: str, account: str) -> None:
    """Mends what an audit found, where it still is so."""


class Queue:
    """See the module. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push) -> None:
        self._lane, self._push = lane, push

    async def tick(self, at_most: int = 500) -> Ticked:
        """Wakes what is due."""
        return await self._lane.run(tick, push=self._push, most=at_most)

    async def overdue(self, most: int) -> list[str]:
        """Ids of jobs that waited past their deadline, tenants in turn; nobody else gets them for a lease."""
        return (await self._lane.run(overdue, lease_ms=self._push.lease_ms, most=most)).ids

    async def configure(self, upstreams: Sequence[UpstreamLimit]) -> None:
        """Makes the pool known to the queue and hands out what waited for it."""
        accounts = [Configured(each.name, each.limit, FIRST_LIMIT_TRIED) for each in upstreams]
        await self._lane.run(configure, push=self._push, accounts=accounts)

    async def adopt_messages(self, at_most: int = 1000) -> int:
        """Takes over messages from where a version before this one keeps them; how many there were."""
        prefix = self._push.prefix
        return (
            await self._lane.run(
                adopt_messages, old_prefix=OLD_KEY_PREFIX, prefix=prefix, most=at_most, queues=tuple(QUEUES)
            )
        ).messages

    async def put_back(self, job: Job) -> None:
        """Puts a queued job that stands nowhere back into its queue."""
        await self._lane.run(put_back, push=self._push, job_id=job.id)

    async def mend(self, what: Mending, job_id: str, account: str = "") -> None:
        """Mends what an audit found (lua/mend.lua says what), where it still is so."""
        await self._lane.run(mend, push=self._push, what=what, job_id=job_id, account=account)
