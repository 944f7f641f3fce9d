"""kombu's Redis transports, changed in four things.

A worker can start and consume while Redis is full. A consumer writes which queue belongs to which exchange (SADD) each
time it connects. Only remote control reads that, because our messages are pushed to the lists by name; and earlier
entries are still there. If Redis has no memory for this write, the worker must start nevertheless, because its work
frees memory.

What was taken from one of our queues is checked before anything reads it (worker/store/wake_up.py), and so is a remote
control command (worker/store/remote_command.py). What is not ours goes to `Watch.refused`, and the consumer continues.

The consumer notes when it looked at its queue (`Watch.looked_at`), which shows whether it still does.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import dumps
from redis.exceptions import OutOfMemoryError

from config.broker import QUEUES
from worker.store import remote_command, wake_up
from worker.store.wake_up import Flaw, Refused

CONTROL = "celery.pidbox"
PRIORITY = "\x06\x16"
"""Stands between the name of a queue and a priority."""


class Watch:
    """What the consumer of this process does; one process has one consumer."""

    looked_at: ClassVar[float] = 0.0
    """When it last asked Redis for a message (time.monotonic)."""
    refused: ClassVar[Callable[[str, Flaw, bytes], None]] = lambda _queue, _why, _message: None
    """Called with the queue, the reason, and the message as it was, which must not be logged."""


def checked(command: str, reply: Any) -> Any:
    """The reply of BRPOP, (list, message): with the message made anew, or None where it was refused."""
    if command != "BRPOP" or not reply:
        return reply
    name, message = reply
    queue = bytes(name).decode().partition(PRIORITY)[0]
    if queue not in QUEUES:  # the answers to remote control commands
        return reply
    try:
        return name, wake_up.made_anew(message, queue)
    except Refused as refused:
        Watch.refused(queue, refused.flaw, message)
        return None


class CheckedRedis(redis.PrefixedStrictRedis):
    """The client that takes messages from the queues."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """The reply to a command; kombu reads its BRPOP here."""
        return checked(command_name, super().parse_response(connection, command_name, **options))


class Checked(redis.Channel):
    """What is changed in a channel."""

    def _get_client(self) -> Any:
        super()._get_client()  # it checks the version of redis-py
        return lambda **named: CheckedRedis(global_keyprefix=self.global_keyprefix, **named)

    def _brpop_start(self, *arguments: Any, **named: Any) -> None:
        super()._brpop_start(*arguments, **named)
        Watch.looked_at = time.monotonic()

    def _handle_message(self, client: Any, r: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._handle_message(client, r)
        if payload["type"] in (b"message", b"pmessage") and CONTROL in bytes(payload["channel"]).decode():
            try:
                payload["data"] = remote_command.made_anew(bytes(payload["data"]))
            except Refused:
                Watch.refused("control", Flaw.CONTROL, bytes(payload["data"]))
                payload["data"] = None  # kombu leaves it out
        return payload

    def _queue_bind(self, *arguments: Any) -> None:
        try:
            super()._queue_bind(*arguments)
        except OutOfMemoryError:
            return


class Delivering(redis.Transport):
    """What is changed in a transport."""

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)
        except (*self.connection_errors, *self.channel_errors):
            raise
        except Exception:  # noqa: BLE001 - whatever Celery stumbles over: it must take the next message
            Watch.refused(queue if queue in QUEUES else "control", Flaw.NOT_TAKEN, dumps(message).encode())


class Channel(Checked):
    """A channel to a single Redis."""


class Transport(Delivering):
    """A transport to a single Redis."""

    Channel = Channel


class SentinelChannel(Checked, redis.SentinelChannel):
    """A channel to the primary that the sentinels name."""


class SentinelTransport(Delivering, redis.SentinelTransport):
    """A transport to the primary that the sentinels name."""

    Channel = SentinelChannel


def install() -> None:
    """Makes kombu use them for our addresses. kombu looks up the class by name when it opens a connection."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"
