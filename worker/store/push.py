"""What a script needs to put a message into one of Celery's queues."""

from typing import NamedTuple

from worker.job.record import Milliseconds


class Push(NamedTuple):
    """Given to every script that may push a message: its locals `template`, `prefix` and `lease_ms`."""

    template: bytes
    """Celery's message with gaps, made by worker/store/messages.py."""
    prefix: str
    """The prefix of Celery's queue names."""
    lease_ms: Milliseconds
    """The lease: after it a job or a delivery is due again, if nobody has recorded a step."""
