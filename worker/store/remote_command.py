"""A remote control command of Celery, read before Celery reads it: which ones may be given, and their form. Pure.

A worker only answers questions. Whatever would change it (stop it, take its queue away, revoke a job's message) is off:
whoever can publish in Redis could stop everything with one command. Flower and `celery inspect` need questions only.
"""

import re
from typing import Any

import orjson

from worker.store.wake_up import MOST_BYTES, Flaw, Refused, body_of, envelope

QUESTIONS = frozenset({
    "ping", "stats", "active", "reserved", "scheduled", "revoked", "registered", "active_queues", "query_task", "conf",
    "enable_events",
})  # fmt: skip
"""The commands that are answered. `enable_events`: Flower sends it; our events are always on, so it changes nothing."""
NAME = re.compile(r"[a-z_]{1,50}")
ADDRESS = re.compile(r"[\w.@:%-]{1,200}", re.ASCII)
REPLIES = "reply.celery.pidbox"
MOST_IDS = 100


def made_anew(raw: bytes) -> bytes:
    """The command with only what we read out of it, as JSON. Raises Refused."""
    if len(raw) > MOST_BYTES:
        raise Refused(Flaw.CONTROL)
    body = body_of(envelope(raw))
    if not isinstance(body, dict) or not _is(NAME, body.get("method")):
        raise Refused(Flaw.CONTROL)
    command = {"method": body["method"], "arguments": _arguments(body), "destination": _destination(body)}
    return orjson.dumps(_message(command | _way_back(body)))


def _arguments(body: dict[str, Any]) -> dict[str, Any]:
    """Only `query_task` takes any: the ids of tasks."""
    given = body.get("arguments") or {}
    if body["method"] != "query_task":
        return {}
    ids = given.get("ids") if isinstance(given, dict) else None
    if not isinstance(ids, list) or len(ids) > MOST_IDS or not all(_is(ADDRESS, each) for each in ids):
        raise Refused(Flaw.CONTROL)
    return {"ids": ids}


def _destination(body: dict[str, Any]) -> list[str] | None:
    workers = body.get("destination")
    if workers is None:
        return None
    if not isinstance(workers, list) or not all(_is(ADDRESS, each) for each in workers):
        raise Refused(Flaw.CONTROL)
    return workers


def _way_back(body: dict[str, Any]) -> dict[str, Any]:
    """Where the answer goes: into a list for answers, and no other."""
    ticket, back = body.get("ticket"), body.get("reply_to")
    if back is None:
        return {}
    if not (isinstance(back, dict) and back.get("exchange") == REPLIES and _is(ADDRESS, back.get("routing_key"))):
        raise Refused(Flaw.CONTROL)
    if not _is(ADDRESS, ticket):
        raise Refused(Flaw.CONTROL)
    return {"reply_to": {"exchange": REPLIES, "routing_key": back["routing_key"]}, "ticket": ticket}


def _is(form: "re.Pattern[str]", value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


def _message(command: dict[str, Any]) -> dict[str, Any]:
    properties = {"delivery_mode": 2, "priority": 0, "body_encoding": "utf-8", "delivery_tag": "control"}
    return {
        "body": orjson.dumps(command).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {},
        "properties": properties | {"delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}},
    }
