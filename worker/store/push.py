"""What a script needs to put a message into one of Celery's queues."""

from typing import NamedTuple

from worker.job.record import Milliseconds


class Push(NamedTuple):
    """Given to every script that may push: its locals `template`, `prefix` and `lease_ms`."""

    template: bytes
    """Celery's message with gaps, as worker/store/messages.py cuts it out of one that kombu made."""
    prefix: str
    """Before the name of a queue."""
    lease_ms: Milliseconds
    """After which a job or a delivery is looked at again, if nobody has recorded a step."""
