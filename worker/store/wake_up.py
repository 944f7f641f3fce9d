"""What a message on one of our queues must say: one task of ours and one id. Everything else is refused with a reason.

Celery trusts what it takes from the broker: a message that it cannot read ends the process, one with a date is kept in
memory, one with a chord or a chain makes others. So Celery never sees what lay on the queue, only a message made anew
from the task and the id that were read out of it. Pure.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from worker.job.ids import DELIVERY_ID, is_job_id
from worker.store.messages import Task

MOST_BYTES = 16 * 1024
"""Ours have less than two thousand."""
UUID = re.compile(r"[\w-]{1,100}", re.ASCII)
TASKS = {task.full_name: task for task in Task}
NOTHING_FOLLOWS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class Flaw(StrEnum):
    """Why a message is parked. A label of a metric, so nothing here comes from the message."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    ENVELOPE = "envelope"
    """JSON, but not a message as Celery sends one."""
    CONTENT_TYPE = "content_type"
    """Pickle, YAML, another encoding, or compressed: never read."""
    UNKNOWN_TASK = "unknown_task"
    ARGUMENTS = "arguments"
    """Not one id of the form that this task takes."""
    SCHEDULED = "scheduled"
    """It has a date (eta) or an end (expires); due times are in the record only."""
    WORKFLOW = "workflow"
    """A group, chord, chain or callback."""
    CONTROL = "control"
    """A remote control command that is malformed."""
    NOT_TAKEN = "not_taken"
    """Celery failed on it."""
    NO_JOB = "no_job"
    """Its job or delivery does not exist; perhaps it was removed meanwhile."""
    BROKEN_RECORD = "broken_record"
    """The record of its job cannot be read."""


class Refused(Exception):
    """The message is not one of ours."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


class WakeUp(NamedTuple):
    """What a message of ours says: its task, its own id, and the id of the job or delivery."""

    task: str
    uuid: str
    an_id: str


def made_anew(raw: bytes, queue: str) -> bytes:
    """The message with only what we read out of it, as JSON. Raises Refused."""
    return orjson.dumps(_message(queue, *read(raw)))


def read(raw: bytes) -> WakeUp:
    """What the message says. Raises Refused."""
    if len(raw) > MOST_BYTES:
        raise Refused(Flaw.TOO_LARGE)
    message = envelope(raw)
    headers = message["headers"]
    task, uuid = headers.get("task"), headers.get("id")
    if not isinstance(task, str) or task not in TASKS:
        raise Refused(Flaw.UNKNOWN_TASK)
    if not isinstance(uuid, str) or not UUID.fullmatch(uuid):
        raise Refused(Flaw.ENVELOPE)
    _refuse_more_than_one_call(headers)
    return WakeUp(task, uuid, _id_in(body_of(message), TASKS[task]))


def envelope(raw: bytes) -> dict[str, Any]:
    """The outer object: `body` is text, `headers` and `properties` are objects. Raises Refused."""
    try:
        message = orjson.loads(raw)  # refuses NaN, what is not UTF-8, and more than 1,024 levels
    except orjson.JSONDecodeError:
        raise Refused(Flaw.NOT_JSON) from None
    if not isinstance(message, dict):
        raise Refused(Flaw.ENVELOPE)
    if not isinstance(message.get("headers"), dict) or not isinstance(message.get("properties"), dict):
        raise Refused(Flaw.ENVELOPE)
    if not isinstance(message.get("body"), str):
        raise Refused(Flaw.ENVELOPE)
    kind = (message.get("content-type"), message.get("content-encoding"), message["headers"].get("compression"))
    if kind != ("application/json", "utf-8", None):
        raise Refused(Flaw.CONTENT_TYPE)
    return message


def body_of(message: dict[str, Any]) -> Any:
    """The value in the body, which is JSON, plain or in base64. Raises Refused."""
    text, encoding = message["body"], message["properties"].get("body_encoding")
    try:
        if encoding == "base64":
            text = b64decode(text, validate=True)
        elif encoding not in (None, "utf-8"):
            raise Refused(Flaw.CONTENT_TYPE)
        return orjson.loads(text)
    except (NotBase64, ValueError):
        raise Refused(Flaw.NOT_JSON) from None


def _refuse_more_than_one_call(headers: dict[str, Any]) -> None:
    if headers.get("eta") is not None or headers.get("expires") is not None:
        raise Refused(Flaw.SCHEDULED)
    if headers.get("group") is not None:
        raise Refused(Flaw.WORKFLOW)


def _id_in(body: Any, task: Task) -> str:
    """The one argument of the task."""
    match body:
        case [[str(an_id)], {**named}, {**following}] if not named:
            pass
        case _:
            raise Refused(Flaw.ARGUMENTS)
    if any(each is not None for each in following.values()):
        raise Refused(Flaw.WORKFLOW)
    if not (DELIVERY_ID.fullmatch(an_id) if task is Task.TELL else is_job_id(an_id)):
        raise Refused(Flaw.ARGUMENTS)
    return str(an_id)


def _message(queue: str, task: str, uuid: str, an_id: str) -> dict[str, Any]:
    """As worker/store/messages.py makes one; a test compares the two."""
    headers: dict[str, Any] = {"lang": "py", "task": task, "id": uuid, "root_id": uuid, "parent_id": None}
    headers |= {"eta": None, "expires": None, "group": None, "group_index": None, "retries": 0, "shadow": None}
    headers |= {"timelimit": [None, None], "argsrepr": f"('{an_id}',)", "kwargsrepr": "{}", "origin": "darkroom"}
    headers |= {"ignore_result": True, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}}
    properties: dict[str, Any] = {"correlation_id": uuid, "reply_to": "", "delivery_mode": 2, "priority": 0}
    properties |= {"delivery_info": {"exchange": "", "routing_key": queue}}
    return {
        "body": orjson.dumps([[an_id], {}, NOTHING_FOLLOWS]).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties | {"body_encoding": "utf-8", "delivery_tag": uuid},
    }
