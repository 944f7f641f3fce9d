"""The inbox: the raw callbacks of each job, stored before anything is decided.

A job's callbacks are read in order. A field of its record says how many have been decided on. Another field has a
digest of each. Whoever knows a callback's address may send anything: `Bounds` says how much of it is stored.
"""

from base64 import b64encode
from hashlib import sha256
from typing import Literal, NamedTuple

from worker.job.ids import created_at
from worker.job.record import Job, Milliseconds
from worker.job.timing import LATE_SECONDS
from worker.store.keys import INBOX, ORPHANS
from worker.store.lane import Lane
from worker.store.loaded import Loaded, load, loaded, read_callback
from worker.store.push import Push
from worker.store.script import script

DIGEST_BYTES = 12
DAY_MS = 86_400_000

Kept = Literal["kept", "duplicate", "full", "dropped", "ended", "orphan", "gone"]
"""`full`: there is no room, perhaps later. `dropped`: there is none any more. `ended`: the job has ended long ago, and
nothing can change it. `orphan`: there is no such job, but the callback is kept. `gone`: the job was removed."""


class Bounds(NamedTuple):
    """How much of what comes in the name of one job is stored."""

    most_rows: int = 20
    """Of a job. Each attempt may have one beyond that."""
    most_bytes: int = 256 * 1024
    """The bodies of a job together, where an attempt has more than one."""
    most_after_end: int = 4
    """Of an attempt, once its job has ended."""
    grace_ms: Milliseconds = LATE_SECONDS * 1000
    """After the end of a job that nothing can change any more, its callbacks are stored for so long."""
    most_orphans: int = 256
    orphans_per_job: int = 4
    orphan_bytes: int = 16 * 1024
    orphan_ms: Milliseconds = 7 * DAY_MS
    """How long an orphan is kept; at most twice as long, if no other comes."""


BOUNDS = Bounds()
ORPHAN_JOB_MS = 3 * DAY_MS
"""A job older than this has no orphans: its callback would have come, and the provider has deleted its images."""


class CallbackReply(NamedTuple):
    """Whether a callback was stored."""

    verdict: Kept


class Done(NamedTuple):
    """Whether it was done. If not, the record has changed, or is gone."""

    done: bool


@script
def callback(
    *,
    push: Push,
    bounds: Bounds,
    job_id: str,
    attempt: int,
    digest: str,
    body: bytes,
    may_be_orphan: bool,
    still_heard: bool,
) -> CallbackReply:
    """Stores a callback and wakes its job; stores it as an orphan if there is no such job.

    `still_heard`: the job hears callbacks although it has ended longer than the grace ago.
    """


@script
def mark_read(*, job_id: str, version: int, inbox_read: int) -> Done:
    """Notes that one more callback was decided on, and changed nothing."""


@script
def look_again(*, job_id: str, wait: Milliseconds, read_all_again: bool) -> Done:
    """Moves the due time of a job whose record does not change."""


class Inbox:
    """The inbox in Redis. Raises worker.store.lane.RedisUnavailable where Redis is away."""

    def __init__(self, lane: Lane, push: Push, bounds: Bounds = BOUNDS) -> None:
        self._lane, self._push, self._bounds = lane, push, bounds

    async def keep(self, job_id: str, attempt: int, body: bytes) -> Kept:
        """Stores a raw callback and wakes its job. Their number per job is limited; duplicates are stored once."""
        verdict = await self._keep(job_id, attempt, body, still_heard=False)
        if verdict != "ended":
            return verdict
        found = loaded(await self._lane.run(load, job_id=job_id))
        if found is None or found.job.is_settled:
            return "ended"
        return await self._keep(job_id, attempt, body, still_heard=True)

    async def _keep(self, job_id: str, attempt: int, body: bytes, *, still_heard: bool) -> Kept:
        reply = await self._lane.run(
            callback,
            push=self._push,
            bounds=self._bounds,
            job_id=job_id,
            attempt=attempt,
            digest=digest_of(body),
            body=body,
            may_be_orphan=self._lane.now() - created_at(job_id) < ORPHAN_JOB_MS,
            still_heard=still_heard,
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


def heard_after_removal(job: Job, now: Milliseconds) -> Milliseconds:
    """How long callbacks for a removed job must be told from orphans; 0 where the provider has nothing to tell.

    Only what was bought is remembered: a caller could make and remove other jobs without end.
    """
    return max(0, created_at(job.id) + ORPHAN_JOB_MS - now) if job.charged is not False else 0


def digest_of(body: bytes) -> str:
    """Tells one body from another: 96 bits of its SHA-256, in base64."""
    return b64encode(sha256(body).digest()[:DIGEST_BYTES]).decode()
