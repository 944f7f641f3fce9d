"""Messages that are none of ours, as somebody who can write to Redis could put them on a queue."""

import base64
import json
import pickle
from collections.abc import Iterator
from typing import Any

from worker.job.ids import new_job_id

A_JOB = new_job_id(1_700_000_000_000)
A_DELIVERY = f"msg_{A_JOB}_7"
NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def message(task: str = "darkroom.settle", arguments: Any = None, **changed: Any) -> dict[str, Any]:
    """As Celery sends it; `changed` replaces parts of it: body, content_type, headers, properties …"""
    following = changed.pop("following", NOTHING)
    body = json.dumps([[A_JOB] if arguments is None else arguments, changed.pop("named", {}), following])
    headers = {"lang": "py", "task": task, "id": "an-id", "root_id": "an-id", "parent_id": None, "group": None}
    headers |= {"eta": None, "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "()"}
    headers |= {"kwargsrepr": "{}", "origin": "me", "ignore_result": True, "stamps": {}}
    properties = {"correlation_id": "an-id", "reply_to": "ghost", "delivery_mode": 2, "delivery_tag": "a-tag"}
    properties |= {"delivery_info": {"exchange": "", "routing_key": "settle"}, "priority": 0, "body_encoding": "utf-8"}
    made = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    made |= {"headers": headers | changed.pop("headers", {})}
    made |= {"properties": properties | changed.pop("properties", {})}
    return made | {name.replace("_", "-"): value for name, value in changed.items()}


def _without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in message().items() if name not in names}


def _coded(content: bytes, kind: str, encoding: str = "binary") -> dict[str, Any]:
    body = base64.b64encode(content).decode()
    return message(body=body, content_type=kind, content_encoding=encoding, properties={"body_encoding": "base64"})


class _Runs:
    def __reduce__(self) -> Any:
        return (exec, ("open('/tmp/poison-ran', 'w')",))


def poison() -> Iterator[tuple[str, bytes]]:
    """Each with its name."""
    deep = "[" * 100_000 + "]" * 100_000
    for name, text in {
        "empty": "", "not JSON": "hello", "a list": "[1,2,3]", "a text": '"hello"', "a number": "7", "null": "null",
        "NaN": '{"body": NaN}', "deep": deep,
        "not UTF-8": "\udcff\udcfe", "huge": json.dumps({"body": "a" * 8_000_000}),
    }.items():  # fmt: skip
        yield name, text.encode(errors="surrogateescape")
    for name, made in {
        "null body": message(body=None), "list body": message(body=[1]), "text body": message(body="hello"),
        "empty body": message(body=""), "deep body": message(body=deep[90_000:110_000]),
        "NaN body": message(body='[[NaN],{},{}]'), "body of one object": message(body='{"task":"darkroom.settle"}'),
        "no headers": _without("headers"), "no properties": _without("properties"), "no body": _without("body"),
        "nothing": {}, "null headers": message() | {"headers": None}, "list properties": message() | {"properties": []},
        "no task": message(headers={"task": None}), "a task that is a list": message(headers={"task": ["x"]}),
        "an id that is a dict": message(headers={"id": {}}), "unknown task": message("os.system"),
        "a type that kombu would make": message(headers={"stamps": {"__type__": "x", "__value__": 1}, "id": 1}),
        "chord": message("celery.chord"), "group": message("celery.group"), "map": message("celery.map"),
        "cleanup": message("celery.backend_cleanup"), "in a group": message(headers={"group": "g"}),
        "with a chord": message(following=NOTHING | {"chord": {"task": "x"}}),
        "with a callback": message(following=NOTHING | {"callbacks": [{"task": "x"}]}),
        "pickle": _coded(pickle.dumps(_Runs()), "application/x-python-serialize"),
        "yaml": _coded(b"!!python/object/apply:os.system [id]", "application/x-yaml"),
        "msgpack": _coded(b"\x93\x91\xa1x\x80\x80", "application/x-msgpack"),
        "wrong encoding": message(content_encoding="utf-16"), "binary": _coded(b"[[],{},{}]", "application/data"),
        "base64 garbage": message(body="%%%", properties={"body_encoding": "base64"}),
        "unknown body encoding": message(properties={"body_encoding": "rot13"}),
        "compressed": message(headers={"compression": "application/x-gzip"}),
        "no argument": message(arguments=[]), "two arguments": message(arguments=[A_JOB, A_JOB]),
        "a number as argument": message(arguments=[7]), "named arguments": message(named={"job_id": A_JOB}),
        "an object as arguments": message(arguments={}), "malformed id": message(arguments=["../../etc/passwd"]),
        "a long id": message(arguments=["A" * 15_000]), "a delivery as job": message(arguments=[A_DELIVERY]),
        "a job as delivery": message("darkroom.tell"), "eta": message(headers={"eta": "9999-12-31T23:59:59+00:00"}),
        "expired": message(headers={"expires": "1999-01-01T00:00:00+00:00"}),
        # read as what they say, a wake-up: of a job that does not exist
        "ghost to reply to": message(properties={"reply_to": "no-such-list"}),
        "priority": message(properties={"priority": "high"}),
        "no delivery info": message(properties={"delivery_info": 7}),
        "a delivery that is not there": message("darkroom.tell", [A_DELIVERY]),
    }.items():  # fmt: skip
        yield name, json.dumps(made).encode()


def command(method: Any, **more: Any) -> bytes:
    """A remote control command, as Celery's client publishes it."""
    body = {"method": method, "arguments": {}, "destination": None, "pattern": None, "matcher": None} | more
    made = message(body=json.dumps(body), headers={"clock": 1, "expires": None})
    return json.dumps(made).encode()


def poisoned_commands() -> Iterator[tuple[str, bytes]]:
    """Each with its name."""
    yield "no method", command(None)
    yield "a method that is a list", command(["ping"])
    yield "a method of another form", command("ping; shutdown")
    yield "a destination that is none", command("ping", destination="everybody")
    yield "answers into a queue", command("ping", reply_to={"exchange": "", "routing_key": "settle"}, ticket="x")
    yield "answers to nowhere", command("ping", reply_to=7)
    yield "too many ids", command("query_task", arguments={"ids": ["x"] * 1000})
