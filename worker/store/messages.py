"""Celery messages as a template of bytes, made by Celery and kombu themselves; scripts insert the job id.

`apply_async` would be a second write beside the record, and a crash between the two would lose a job. So kombu
publishes once at start into a transport that keeps the bytes. The scripts fill the gaps and push the message in the
same transaction as the record. A test compares the result with what `apply_async` writes.
"""

import re
from enum import StrEnum
from typing import Any

import orjson
from celery import Celery
from kombu import Connection, Producer
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.json import dumps

MARKER = re.compile("@([a-z]+)@")


class Task(StrEnum):
    """The Celery tasks; Flower shows `darkroom.<name>`. Each takes one id and nothing else."""

    SUBMIT = "submit"
    POLL = "poll"
    COLLECT = "collect"
    SETTLE = "settle"
    RESCUE = "rescue"
    TELL = "tell"

    @property
    def full_name(self) -> str:
        return f"darkroom.{self.value}"


class _KeptChannel(virtual.Channel):
    """Keeps the bytes that would be written. Keys and priorities are handled as in kombu's Redis channel."""

    body_encoding = "utf-8"
    kept: str = ""

    def _next_delivery_tag(self) -> str:
        return "@uuid@"

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        _KeptChannel.kept = dumps(message)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        return [routing_key]


class _KeptTransport(virtual.Transport):
    Channel = _KeptChannel
    driver_type = kombu_redis.Transport.driver_type
    driver_name = kombu_redis.Transport.driver_name


def message_template(app: Celery) -> bytes:
    """A message with gaps, as a JSON array: literal, name of a gap (id, uuid, task, queue), literal, …

    Our ids consist of letters, digits, `-` and `_`, so they need no escaping in JSON.
    """
    with Connection(transport=_KeptTransport) as connection, Producer(connection) as producer:
        app.send_task(
            "@task@",
            args=("@id@",),
            task_id="@uuid@",
            queue="@queue@",
            producer=producer,
            retry=False,
            ignore_result=True,
        )
    return orjson.dumps(MARKER.split(_KeptChannel.kept))
