"""The record: what a job is, its statuses, and which status may follow which. Pure; read this first.

lua/advance.lua writes the transitions of this file, docs/states.md draws them; a test compares this file with
the page. Times are integer milliseconds since 1970 by the clock of Redis.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

Milliseconds = int
Via = Literal["answer", "callback", "poll", "manual"]
OnUnknown = Literal["hold", "resubmit", "fail"]


class Status(StrEnum):
    """The status of a job. The same word is the log event, the metric label, the event name and the docs heading."""

    QUEUED = "queued"
    """Accepted; waits for a place upstream. Moved by: the worker that gets its message.
    After a crash here the message or the index of due times brings it back."""

    SUBMITTING = "submitting"
    """The intent is on disk and the POST may be on the wire. Moved by: the worker that wrote the intent; a callback.
    After a crash here it becomes `unknown` when its lease is over; there is never an automatic second POST."""

    UNKNOWN = "unknown"
    """The POST may or may not have been taken. Moved by: a callback, a poll if the request id is known, the policy.
    After a crash here it stays, and the index of due times wakes it."""

    PROCESSING = "processing"
    """The upstream has it and we know its request id. Moved by: callback, poll.
    After a crash here the poll at its due time continues; nothing is submitted twice."""

    STORING = "storing"
    """The result is known; its images are being downloaded and stored. Moved by: the worker.
    After a crash here they are collected again from the recorded addresses."""

    SUCCEEDED = "succeeded"
    """Every image that exists is in the store, decoded, hashed and durable. Terminal."""

    FAILED = "failed"
    """Ended with a stable error code and the upstream's words. Terminal, except for a late result (INFERRED_CODES)."""

    CANCELLED = "cancelled"
    """Ended by the caller; `charged` says whether the upstream had been asked. Terminal."""

    EXPIRED = "expired"
    """The deadline passed with nothing stored. Terminal, but a late result makes it `succeeded`, marked `late`."""


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
OPEN = frozenset(Status) - TERMINAL

NOT_SUCCEEDED = TERMINAL - {Status.SUCCEEDED}
TRANSITIONS: dict[Status | None, frozenset[Status]] = {
    None: frozenset({Status.QUEUED}),
    # unknown, processing, storing: an earlier attempt, which seemed lost, turns out to be taken
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
"""Errors that Darkroom concluded itself ("we stopped waiting", "that was a refusal"). A later success of the upstream
still turns such a job into `succeeded`."""
OPEN_UPSTREAM = frozenset({"submitting", "unknown", "processing"})
"""Statuses of an attempt that the upstream has, or may have."""


class ForbiddenTransition(Exception):
    """A transition that the table does not allow: a bug, never an expected outcome."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST to the upstream. Each has its own track_id, so that late callbacks are told apart."""

    number: int
    track_id: str
    upstream: str
    """Name of the account that submitted it; fetch uses the same one."""
    started_at: Milliseconds
    status: str = "submitting"
    """submitting, unknown, processing, refused, failed, succeeded or duplicate (a second paid result)."""
    request_id: str | None = None
    answered_at: Milliseconds | None = None
    outcome: str | None = None
    message: str | None = None
    claim: str | None = None
    """A random mark of the worker that wrote this intent: it recognises its own intent after a lost reply of Redis."""
    server: str | None = None
    """The base address it was sent to (upstream/accounts.py): its request id is valid only there."""

    @property
    def possibly_charged(self) -> bool:
        """False only if it is proven that the upstream did not take it."""
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
    """The shape of its webhook deliveries: a name in worker/shown/shapes.py."""


@dataclass(frozen=True, slots=True)
class Job:
    """An order and everything that has happened to it."""

    order: Order
    status: Status = Status.QUEUED
    version: int = 1
    """Grows by one with every write. The compare-and-set on it lets one writer win (fencing token)."""
    attempts: tuple[Attempt, ...] = ()
    links: tuple[str, ...] = ()
    """Addresses of the images, recorded before they are downloaded."""
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
    """The end that the upstream announced."""
    unknown_until: Milliseconds | None = None
    """When the policy for `unknown` acts."""
    resubmitted: bool = False
    tries: int = 0
    """Polls without news, or incomplete collections, since the last transition; the next pause grows with it."""
    contradictions: int = 0
    """Answers that contradicted what was known, such as another request's: counted, `darkroom explain` tells."""
    place: str | None = None
    """Name of the account at which a place is held; the scripts keep it, not the record."""
    stalls: int = 0
    """Wake-ups since the last recorded step. More than three mean that the job kills its worker."""
    decoder_deaths: tuple[int, ...] = ()
    """One index of an image for each decoder that died on it (parking.py)."""

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
        """Whether the upstream has the newest attempt, or may have it. Its place is free only when that is over.

        The place of a queued job is for an attempt that was not sent yet.
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
        # completed_via: one attempt failed, and another one, which had seemed refused, had a result
        inferred = self.error is not None and (self.error.code in INFERRED_CODES or self.completed_via is not None)
        return self.status is Status.EXPIRED or (self.status is Status.FAILED and inferred)

    @property
    def is_settled(self) -> bool:
        """Whether it has ended, and no result that still comes would be adopted, or would show that it was paid for."""
        is_open = any(attempt.status in OPEN_UPSTREAM for attempt in self.attempts)
        return self.is_terminal and not self.accepts_late_result and not is_open

    def numbered(self, number: int) -> Attempt | None:
        """The attempt with that number, if it is still on the record."""
        return next((attempt for attempt in self.attempts if attempt.number == number), None)

    def with_attempt(self, attempt: Attempt) -> "Job":
        """The same job; the attempt with that number is replaced by this one."""
        kept = tuple(attempt if old.number == attempt.number else old for old in self.attempts)
        return replace(self, attempts=kept)

    def moved(self, status: Status, now: Milliseconds, **changes: Any) -> "Job":
        """The next version of the record, in `status`.

        Raises ForbiddenTransition if TRANSITIONS does not allow it. The same status again is always allowed.
        """
        if status is not self.status and status not in TRANSITIONS[self.status]:
            raise ForbiddenTransition(f"{self.status} → {status}")
        if status in TERMINAL and status is not self.status:
            changes.setdefault("finished_at", now)
        if status is not self.status:
            changes.setdefault("tries", 0)
        return replace(self, status=status, version=self.version + 1, updated_at=now, stalls=0, **changes)
