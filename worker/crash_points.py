"""The points between two durable steps: where a crash is allowed to happen, because it is known what it means.

Tests kill a process at each of them (DARKROOM_CRASH_AT); a point that no test kills at fails the suite.
"""

import os
import signal
from enum import StrEnum

from config.settings import load_settings


class Point(StrEnum):
    """Named for what has just become durable, or has just been learned."""

    ACCEPT_WRITTEN = "accept_written"
    """The job is on disk, the caller has no answer: repeating with the same Idempotency-Key finds it."""

    INTENT_WRITTEN = "intent_written"
    """Nothing was sent, but nobody can know: unknown when the lease is over, never POSTed again by itself."""

    ANSWER_RECEIVED = "answer_received"
    """The upstream has it, we have not written so: unknown, then the callback or the policy."""

    OUTCOME_WRITTEN = "outcome_written"
    """The request id is on disk: callback or poll go on."""

    CALLBACK_KEPT = "callback_kept"
    """The raw body is on disk, the upstream has no answer: it may send it again, which is kept once."""

    CALLBACK_APPLIED = "callback_applied"
    """The result's addresses are on disk: the collection is woken by its message or its due time."""

    IMAGES_STORED = "images_stored"
    """The bytes are durable, the record does not say so: stored again under the same keys, then recorded."""

    END_WRITTEN = "end_written"
    """The job has ended, its caller is not told: the delivery has its own message and due time."""

    CALLER_TOLD = "caller_told"
    """The caller has heard, the row is not written: told again, with the same id."""


def reached(point: Point) -> None:
    """Does nothing, but where a test asked to die here: then as by a power cut."""
    if load_settings().crash_at == point.value:
        os.kill(os.getpid(), signal.SIGKILL)
