"""kombu's Redis transports, changed so that a worker can start and consume while Redis is full.

A consumer writes which queue belongs to which exchange (SADD) each time it connects. Only remote control reads that,
because our messages are pushed to the lists by name; and earlier entries are still there. If Redis has no memory for
this write, the worker must start nevertheless, because its work frees memory.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import OutOfMemoryError


class Channel(redis.Channel):
    """A channel to a single Redis."""

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            return


class Transport(redis.Transport):
    """A transport to a single Redis."""

    Channel = Channel


class SentinelChannel(redis.SentinelChannel):
    """A channel to the primary that the sentinels name."""

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            return


class SentinelTransport(redis.SentinelTransport):
    """A transport to the primary that the sentinels name."""

    Channel = SentinelChannel


def install() -> None:
    """Makes kombu use them for our addresses. kombu looks up the class by name when it opens a connection."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
