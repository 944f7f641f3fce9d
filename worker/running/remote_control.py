"""Which remote control commands a worker answers, and what it shows of its configuration.

Everything that would change the worker is answered with a sentence; worker/store/remote_command.py says why.
"""

from collections.abc import Callable
from typing import Any

from celery.worker.control import Panel

from worker.store.remote_command import QUESTIONS

OFF = "this command is off: a worker of Darkroom only answers questions"
SHOWN = (
    "worker_pool", "worker_concurrency", "worker_prefetch_multiplier", "task_acks_late", "task_serializer",
    "accept_content", "task_default_queue", "task_routes", "task_ignore_result", "worker_send_task_events",
    "task_send_sent_event", "broker_connection_max_retries", "enable_utc",
)  # fmt: skip
"""What `celery inspect conf` shows: nothing that holds an address, a user or a password."""
OF_THE_BROKER = ("transport", "hostname", "port", "virtual_host")
Answer = Callable[..., Any]


class Answers(dict[str, Answer]):
    """The commands by name; each one that is not there is off."""

    def __missing__(self, _name: str) -> Answer:
        return _off


def answer_questions_only() -> None:
    """Takes Celery's commands that change a worker out of its panel. Call it before the worker starts."""
    kept = {name: answer for name, answer in Panel.data.items() if name in QUESTIONS}
    ours: dict[str, Answer] = {"conf": _conf, "stats": _without_login(kept["stats"]), "enable_events": _events_are_on}
    Panel.data = Answers(kept | ours)


def _off(_state: Any, **_arguments: Any) -> dict[str, str]:
    return {"error": OFF}


def _events_are_on(_state: Any, **_arguments: Any) -> dict[str, str]:
    return {"ok": "task events are always on"}


def _conf(state: Any, **_arguments: Any) -> dict[str, Any]:
    return {name: state.app.conf[name] for name in SHOWN}


def _without_login(stats: Answer) -> Answer:
    """The command `stats`; of the broker only where it is, because its options may hold the sentinels' password."""

    def answer(state: Any, **arguments: Any) -> dict[str, Any]:
        told: dict[str, Any] = stats(state, **arguments)
        return told | {"broker": {name: told.get("broker", {}).get(name) for name in OF_THE_BROKER}}

    return answer
