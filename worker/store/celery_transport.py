"""kombu's Redis transports, for a Redis that may be full: a worker must start and consume all the same.

A consumer notes which queue belongs to which exchange (SADD) each time it connects. Our messages are pushed to the
lists by name, so nobody reads that but remote control; what was noted earlier is still there. Refused for want of
memory, it must not keep a worker from the work that would make room.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from redis.exceptions import OutOfMemoryError


class Channel(redis.Channel):
    """One to a single Redis."""

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            return


class Transport(redis.Transport):
    """To a single Redis."""

    Channel = Channel


class SentinelChannel(redis.SentinelChannel):
    """One to the primary that the sentinels name."""

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)  # type: ignore[no-untyped-call]
        except OutOfMemoryError:
            return


class SentinelTransport(redis.SentinelTransport):
    """To the primary that the sentinels name."""

    Channel = SentinelChannel


def install() -> None:
    """Makes them what kombu takes for our addresses. The name of a class is looked up when a connection is opened."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
