"""The queue between the API and the workers: due jobs, overdue jobs, and the accounts that take jobs.

Any number of processes may use it at the same time.
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
"""The queue of the provider's smallest plan; learning an account's limit starts with it."""

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
    """What one tick has moved, and the time until the next job is due (ms); None: no job is."""

    jobs: int
    deliveries: int
    wait: Milliseconds | None


class OverdueReply(NamedTuple):
    """Jobs that waited until their deadline."""

    ids: list[str]


class Adopted(NamedTuple):
    """How many messages were moved."""

    messages: int


@script
def tick(*, push: Push, most: int) -> Ticked:
    """Moves what is due into Celery: at most so many jobs and so many deliveries."""


@script
def overdue(*, lease_ms: Milliseconds, most: int) -> OverdueReply:
    """Returns jobs that waited until their deadline."""


class Emptied(NamedTuple):
    """Whether messages still wait in the outbox."""

    waits: bool


@script
def empty_outbox(*, push: Push, queue: str) -> Emptied:
    """Sends messages that wait because that list of Celery's was long."""


@script
def configure(*, push: Push, accounts: Sequence[Configured]) -> None:
    """Makes the accounts of a worker's configuration known to the queue."""


@script
def adopt_messages(*, old_prefix: str, prefix: str, most: int, queues: Sequence[str]) -> Adopted:
    """Moves messages from the keys of an older version."""


@script
def put_back(*, push: Push, job_id: str) -> None:
    """Puts a queued job that is in no queue back into its backlog."""


@script
def mend(*, push: Push, what: str, job_id: str, account: str) -> None:
    """Repairs what an audit found, if it is still wrong."""


class Queue:
    """The queue in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push) -> None:
        self._lane, self._push = lane, push

    async def tick(self, at_most: int = 500) -> Ticked:
        """Moves due jobs and deliveries into Celery."""
        return await self._lane.run(tick, push=self._push, most=at_most)

    async def empty_outbox(self, queue: str) -> bool:
        """Sends messages that wait because that list of Celery's was long, tenants in turn. Whether more wait."""
        return (await self._lane.run(empty_outbox, push=self._push, queue=queue)).waits

    async def overdue(self, most: int) -> list[str]:
        """Ids of jobs that waited until their deadline, tenants in turn. No other process gets them for a lease."""
        return (await self._lane.run(overdue, lease_ms=self._push.lease_ms, most=most)).ids

    async def configure(self, upstreams: Sequence[UpstreamLimit]) -> None:
        """Makes the accounts known to the queue, and hands out jobs that waited for them."""
        accounts = [Configured(each.name, each.limit, FIRST_LIMIT_TRIED) for each in upstreams]
        await self._lane.run(configure, push=self._push, accounts=accounts)

    async def adopt_messages(self, at_most: int = 1000) -> int:
        """Moves messages from the keys of an older version. Returns how many there were."""
        prefix = self._push.prefix
        return (
            await self._lane.run(
                adopt_messages, old_prefix=OLD_KEY_PREFIX, prefix=prefix, most=at_most, queues=tuple(QUEUES)
            )
        ).messages

    async def put_back(self, job: Job) -> None:
        """Puts a queued job that is in no queue back into its backlog."""
        await self._lane.run(put_back, push=self._push, job_id=job.id)

    async def mend(self, what: Mending, job_id: str, account: str = "") -> None:
        """Repairs what an audit found, if it is still wrong; lua/mend.lua has the kinds."""
        await self._lane.run(mend, push=self._push, what=what, job_id=job_id, account=account)
