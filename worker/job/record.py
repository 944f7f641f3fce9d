"""The record: what a job is, the statuses it can have, and which status may follow which. Pure; read this first.

Everything else refers to this file: Redis applies what is decided here (lua/advance.lua), docs/states.md draws it,
and a test compares the three. Times are integer milliseconds since 1970 by the clock of Redis.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

Milliseconds = int
Via = Literal["answer", "callback", "poll", "manual"]
OnUnknown = Literal["hold", "resubmit", "fail"]


class Status(StrEnum):
    """Where a job is. The same word is the log event, the metric label, the event name and the docs heading."""

    QUEUED = "queued"
    """Accepted, waiting for a place upstream. Moved by: the worker that gets its message.
    A crash here: the message, or the due-time index, brings it back."""

    SUBMITTING = "submitting"
    """The intent is on disk and the POST may be on the wire. Moved by: the worker that wrote the intent; a callback.
    A crash here: once its lease is over it becomes `unknown`; there is never a second POST by itself."""

    UNKNOWN = "unknown"
    """The POST may or may not have been taken. Moved by: a callback, a poll if the request id is known, the policy.
    A crash here: stays, the due-time index wakes it."""

    PROCESSING = "processing"
    """The upstream has it and we know its request id. Moved by: callback, poll.
    A crash here: the poll at its due time goes on; nothing is submitted twice."""

    STORING = "storing"
    """The result is known; its images are being fetched and kept. Moved by: the worker.
    A crash here: collected again from the recorded addresses."""

    SUCCEEDED = "succeeded"
    """Every image that exists is in the store, decoded, hashed and durable. Final."""

    FAILED = "failed"
    """Ended with a stable error code and the upstream's own words. Final, but for a late result after a time-out."""

    CANCELLED = "cancelled"
    """Ended by the caller; `charged` says honestly whether the upstream had been asked. Final."""

    EXPIRED = "expired"
    """The deadline passed with nothing stored. A late result still turns it into `succeeded`, marked `late`."""


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
OPEN = frozenset(Status) - TERMINAL

NOT_SUCCEEDED = TERMINAL - {Status.SUCCEEDED}
TRANSITIONS: dict[Status | None, frozenset[Status]] = {
    None: frozenset({Status.QUEUED}),
    # unknown, processing, storing: an earlier attempt that was believed lost turns out to be taken
    Status.QUEUED: NOT_SUCCEEDED | {Status.SUBMITTING, Status.UNKNOWN, Status.PROCESSING, Status.STORING},
    Status.SUBMITTING: NOT_SUCCEEDED | {Status.QUEUED, Status.UNKNOWN, Status.PROCESSING, Status.STORING},
    Status.UNKNOWN: NOT_SUCCEEDED | {Status.QUEUED, Status.PROCESSING, Status.STORING},
    # unknown: the attempt that was known to be taken has failed, and an earlier one is still open
    Status.PROCESSING: NOT_SUCCEEDED | {Status.UNKNOWN, Status.STORING},
    Status.STORING: TERMINAL,
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset({Status.SUCCEEDED}),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset({Status.SUCCEEDED}),
}

INFERRED_CODES = frozenset({"submit_unknown", "images_unavailable", "stalled", "upstream_rejected"})
"""Errors that are our inference ("we stopped waiting", "that was a refusal"), not the upstream's word on a request that
it had taken: its success, whenever it comes, still turns these into `succeeded`."""
OPEN_UPSTREAM = frozenset({"submitting", "unknown", "processing"})
"""Statuses of an attempt that the upstream has, or may have."""


class ForbiddenTransition(Exception):
    """A status was asked to follow one that it may not follow: a bug, never an expected outcome."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST to the upstream. Each has its own track_id, so that late callbacks are told apart."""

    number: int
    track_id: str
    upstream: str
    """Name of the key it was submitted with; fetch goes to the same one."""
    started_at: Milliseconds
    status: str = "submitting"
    """submitting, unknown, processing, refused, failed, succeeded or duplicate (a second paid result)."""
    request_id: str | None = None
    answered_at: Milliseconds | None = None
    outcome: str | None = None
    message: str | None = None
    claim: str | None = None
    """What tells the worker that wrote this intent that it was the one, where Redis' reply to it was lost."""
    server: str | None = None
    """The base address it was sent to (upstream/accounts.py): only there does its request id mean this image."""

    @property
    def possibly_charged(self) -> bool:
        """False only where it is proven that the upstream did not take it."""
        return self.status != "refused"


@dataclass(frozen=True, slots=True)
class Image:
    """One stored image."""

    index: int
    key: str
    sha256: str
    width: int
    height: int
    format: str
    bytes: int
    seed: int | None = None
    nsfw: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code, our sentence, the upstream's own words."""

    code: str
    message: str
    upstream_message: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What the caller asked for. Written once at accept, never changed."""

    id: str
    tenant: str
    created_at: Milliseconds
    deadline_at: Milliseconds
    request: dict[str, Any]
    priority: int = 5
    on_unknown: OnUnknown = "hold"
    adjustments: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    webhook: str | None = None
    track_id: str | None = None
    retry_of: str | None = None
    shape: str = "job"
    """What its caller is told at the end: a name of worker/shown/shapes.py."""


@dataclass(frozen=True, slots=True)
class Job:
    """An order and everything that has happened to it."""

    order: Order
    status: Status = Status.QUEUED
    version: int = 1
    """Grows by one with every write; the compare-and-set that makes one writer win."""
    attempts: tuple[Attempt, ...] = ()
    links: tuple[str, ...] = ()
    """Addresses of the result, recorded before they are fetched."""
    seed: int | None = None
    nsfw: bool = False
    images: tuple[Image, ...] = ()
    images_missing: int = 0
    error: Failure | None = None
    late: bool = False
    completed_via: Via | None = None
    updated_at: Milliseconds = 0
    finished_at: Milliseconds | None = None
    eta_at: Milliseconds | None = None
    """When the upstream said that it would be done."""
    unknown_until: Milliseconds | None = None
    """When the policy for `unknown` acts."""
    resubmitted: bool = False
    tries: int = 0
    """Polls without news, or collections without all images, since the last transition: spaces the next one."""
    contradictions: int = 0
    """Answers that contradicted what was known, such as another request's: counted, `darkroom explain` tells."""
    place: str | None = None
    """The upstream key on which a place is held; kept by the scripts, not by the record."""
    stalls: int = 0
    """Wake-ups since the last recorded step: three without any mean that the job kills its worker."""

    @property
    def id(self) -> str:
        return self.order.id

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def may_be_upstream(self) -> bool:
        """Whether the upstream has the newest attempt, or may have it: only when that is over is its place free.

        A queued job's place is for an attempt that was not sent yet.
        """
        attempt = None if self.status is Status.QUEUED else self.attempt
        return attempt is not None and attempt.status in OPEN_UPSTREAM

    @property
    def charged(self) -> bool | None:
        """True: the upstream took it. False: proven that it never did. None: nobody knows."""
        if any(attempt.status not in ("refused", "unknown", "submitting") for attempt in self.attempts):
            return True
        return None if any(attempt.possibly_charged for attempt in self.attempts) else False

    @property
    def accepts_late_result(self) -> bool:
        """Whether a result that comes after the end still turns it into `succeeded`."""
        # one attempt failed, and another, which had seemed to be refused, brought a result all the same
        inferred = self.error is not None and (self.error.code in INFERRED_CODES or self.completed_via is not None)
        return self.status is Status.EXPIRED or (self.status is Status.FAILED and inferred)

    def numbered(self, number: int) -> Attempt | None:
        """The attempt with that number, if it is still on the record."""
        return next((attempt for attempt in self.attempts if attempt.number == number), None)

    def with_attempt(self, attempt: Attempt) -> "Job":
        """The same job with that attempt put in place of the one with its number."""
        kept = tuple(attempt if old.number == attempt.number else old for old in self.attempts)
        return replace(self, attempts=kept)

    def moved(self, status: Status, now: Milliseconds, **changes: Any) -> "Job":
        """The next version of the record, in `status`.

        Raises ForbiddenTransition where TRANSITIONS has no such arrow; staying where it is, is always allowed.
        """
        if status is not self.status and status not in TRANSITIONS[self.status]:
            raise ForbiddenTransition(f"{self.status} → {status}")
        if status in TERMINAL and status is not self.status:
            changes.setdefault("finished_at", now)
        if status is not self.status:
            changes.setdefault("tries", 0)
        return replace(self, status=status, version=self.version + 1, updated_at=now, stalls=0, **changes)
