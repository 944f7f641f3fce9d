"""Celery messages as bytes: one template, made by Celery and kombu themselves, that the scripts put a job id into.

A message written by `apply_async` is a second write beside the record's, and a crash between the two loses a job. So
kombu publishes once, at start, into a transport that keeps the bytes; the scripts fill in the markers and push the
message in the same transaction as the record. A test compares the result with what `apply_async` writes.
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
    """What a worker can be asked to do; Flower shows `darkroom.<name>`. Each takes one id and nothing else."""

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
    """Keeps what would be written. Key and priority handling are those of kombu's Redis channel."""

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
    """A message cut where a script fills in its own, as a JSON array: literal, one of id, uuid, task, queue, literal, …

    The ids that go in are of our own alphabet (letters, digits, `-`, `_`), so no escaping is needed in JSON.
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
