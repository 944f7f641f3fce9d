"""Crash points (failpoints): the places between two durable writes, each with what a crash there means.

Tests kill a process at each of them (DARKROOM_CRASH_AT). A point at which no test kills fails the suite.
"""

import os
import signal
from enum import StrEnum

from config.settings import load_settings


class Point(StrEnum):
    """Each point is named after what has just become durable, or has just been learned."""

    ACCEPT_WRITTEN = "accept_written"
    """The job is on disk, but the caller has no answer. Repeating with the same Idempotency-Key finds the job."""

    INTENT_WRITTEN = "intent_written"
    """Nothing was sent, but nobody knows that. `unknown` when the lease is over; never POSTed again automatically."""

    ANSWER_RECEIVED = "answer_received"
    """The upstream has the job, but the record does not say so. `unknown`, then the callback or the policy."""

    OUTCOME_WRITTEN = "outcome_written"
    """The request id is on disk. A callback or a poll continues."""

    CALLBACK_KEPT = "callback_kept"
    """The callback's body is on disk, but the upstream has no answer. It may send it again; it is stored once."""

    CALLBACK_APPLIED = "callback_applied"
    """The addresses of the images are on disk. Collecting is woken by its message or its due time."""

    IMAGES_STORED = "images_stored"
    """The images are durable, but the record does not say so. They are stored again under the same keys."""

    END_WRITTEN = "end_written"
    """The job has ended, but nothing was delivered. The delivery has its own message and due time."""

    CALLER_TOLD = "caller_told"
    """The delivery arrived, but its row is not written. It is sent again, with the same `webhook-id`."""


def reached(point: Point) -> None:
    """Does nothing, unless a test has asked for a crash here: then kills the process, as a power cut would."""
    if load_settings().crash_at == point.value:
        os.kill(os.getpid(), signal.SIGKILL)
