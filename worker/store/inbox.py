"""The inbox: the raw callbacks of each job, stored before anything is decided.

A job's callbacks are read in order. A field of its record says how many have been decided on.
"""

from typing import Literal, NamedTuple

from worker.job.record import Milliseconds
from worker.store.keys import INBOX, ORPHANS
from worker.store.lane import Lane
from worker.store.loaded import Loaded, read_callback
from worker.store.push import Push
from worker.store.script import script

MOST_INBOX_ROWS = 20

Kept = Literal["kept", "duplicate", "full", "orphan"]


class CallbackReply(NamedTuple):
    """Whether a callback was stored."""

    verdict: Kept


class Done(NamedTuple):
    """Whether it was done. If not, the record has changed, or is gone."""

    done: bool


@script
def callback(*, push: Push, job_id: str, attempt: int, body: bytes, most_unread: int, orphan: bytes) -> CallbackReply:
    """Stores a callback and wakes its job; stores `orphan` if there is no such job."""


@script
def mark_read(*, job_id: str, version: int, inbox_read: int) -> Done:
    """Notes that one more callback was decided on, and changed nothing."""


@script
def look_again(*, job_id: str, wait: Milliseconds, read_all_again: bool) -> Done:
    """Moves the due time of a job whose record does not change."""


class Inbox:
    """The inbox in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push) -> None:
        self._lane, self._push = lane, push

    async def keep(self, job_id: str, attempt: int, body: bytes, orphan: bytes) -> Kept:
        """Stores a raw callback and wakes its job. Their number per job is limited; duplicates are stored once."""
        reply = await self._lane.run(
            callback,
            push=self._push,
            job_id=job_id,
            attempt=attempt,
            body=body,
            most_unread=MOST_INBOX_ROWS,
            orphan=orphan,
        )
        return reply.verdict

    async def of_attempt(self, job_id: str, attempt: int) -> list[bytes]:
        """The bodies of all stored callbacks of one attempt, oldest first, read or not."""
        kept = map(read_callback, await self._lane.call("LRANGE", INBOX(job_id), 0, -1))
        return [each.body for each in kept if each.attempt == attempt]

    async def mark_read(self, before: Loaded) -> None:
        """Notes that the oldest unread callback was decided on and changed nothing, if the record is still the same."""
        job = before.job
        await self._lane.run(mark_read, job_id=job.id, version=job.version, inbox_read=before.inbox_read)

    async def read_again(self, job_id: str) -> None:
        """Marks all stored callbacks of a job as unread; deciding twice changes nothing."""
        await self._lane.run(look_again, job_id=job_id, wait=0, read_all_again=True)

    async def orphans(self) -> list[bytes]:
        """Callbacks whose job was not known when they came."""
        rows: list[bytes] = await self._lane.call("LRANGE", ORPHANS(), 0, -1)
        return rows

    async def drop_orphan(self, row: bytes) -> None:
        """Removes an orphan after it was matched."""
        await self._lane.write("LREM", ORPHANS(), 1, row)
