"""What becomes of a message that is not ours: parked and counted, and the worker takes the next one.

The consumer finds it on Celery's thread; it is written to Redis on the event loop. So a flood of such messages costs
no round trip each. If Redis is away meanwhile, the message is lost: it is in the log that there was one.
"""

import time

import structlog

from worker.running.loop import LoopThread
from worker.store.celery_transport import Watch
from worker.store.parking import MOST_BYTES_KEPT, Parking
from worker.store.unavailable import RedisUnavailable
from worker.store.wake_up import Flaw

log = structlog.get_logger()

QUIET_SECONDS = 1.0


def park_what_is_refused(loop: LoopThread, parking: Parking) -> None:
    """From now on, what the consumer of this process refuses is parked."""

    said = Said()

    def refused(queue: str, why: Flaw, message: bytes) -> None:
        said.say(queue, why)
        loop.begin(_park(parking, queue, why, message[:MOST_BYTES_KEPT], len(message)))

    Watch.refused = refused


class Said:
    """The log lines: one a second at most, with how many messages it stands for."""

    def __init__(self) -> None:
        self._messages, self._said_at = 0, 0.0

    def say(self, queue: str, why: Flaw) -> None:
        """There was one more. Never a word of it: whoever wrote it must not write into the log."""
        self._messages += 1
        if time.monotonic() - self._said_at >= QUIET_SECONDS:
            log.warning("message.parked", queue=queue, why=why.value, messages=self._messages, help="darkroom parked")
            self._messages, self._said_at = 0, time.monotonic()


async def _park(parking: Parking, queue: str, why: Flaw, head: bytes, size: int) -> None:
    try:
        await parking.park(queue, why, head, size)
    except RedisUnavailable as error:
        log.warning("message.lost", queue=queue, why=why.value, reason=str(error))
