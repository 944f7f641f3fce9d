"""What is read out of a message: one task and one id, or a reason to park it."""

import json

import orjson
import pytest

from tests.support.poison import A_DELIVERY, A_JOB, command, message, poison, poisoned_commands
from worker.app import app
from worker.store import remote_command, wake_up
from worker.store.messages import Task, message_template
from worker.store.wake_up import Flaw, Refused

NO_FLAW = {"ghost to reply to", "priority", "no delivery info", "a delivery that is not there"}
"""Read as what they say."""
POISON = {name: content for name, content in poison() if name not in NO_FLAW}


def raw(**changed: object) -> bytes:
    return json.dumps(message(**changed)).encode()


@pytest.mark.parametrize("content", POISON.values(), ids=POISON)
def test_what_is_none_of_ours_is_refused_with_its_reason(content: bytes) -> None:
    with pytest.raises(Refused) as refused:
        wake_up.made_anew(content, "settle")
    assert refused.value.flaw in Flaw


@pytest.mark.parametrize("content", dict(poisoned_commands()).values(), ids=dict(poisoned_commands()))
def test_a_command_in_a_wrong_form_is_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        remote_command.made_anew(content)


@pytest.mark.parametrize("task", Task)
def test_a_message_of_ours_says_what_it_said(task: Task) -> None:
    """Made by the template that the scripts fill: the new message differs only in what nobody reads."""
    an_id = A_DELIVERY if task is Task.TELL else A_JOB
    fills = {"uuid": f"{an_id}-{task}-7", "task": task.full_name, "queue": "settle", "id": an_id}
    parts = orjson.loads(message_template(app))
    ours = "".join(fills[part] if at % 2 else part for at, part in enumerate(parts))
    before, after = orjson.loads(ours), orjson.loads(wake_up.made_anew(ours.encode(), "settle"))
    for each in (before, after):
        each["body"] = orjson.loads(each["body"])
        del each["headers"]["origin"], each["properties"]["reply_to"]
    assert after == before


def test_what_a_person_sends_by_hand_is_read_as_well() -> None:
    """Celery's own client codes the body in base64 where it does not know our settings."""
    by_hand = message()
    by_hand["body"] = "W1siMDFIRjdZQVQwMEFBQUFBQUFBQUFBQUFBQUFBQSJdLCB7fSwgbnVsbF0="
    by_hand["properties"]["body_encoding"] = "base64"
    with pytest.raises(Refused) as refused:  # its third part must be an object
        wake_up.read(json.dumps(by_hand).encode())
    assert refused.value.flaw is Flaw.ARGUMENTS


def test_nothing_else_of_a_message_goes_on() -> None:
    """Whatever else it holds: a worker sees the id and the task."""
    changed = {
        "headers": {"stamps": {"x": "y"}, "timelimit": [1, 1], "shadow": "z"},
        "properties": {"reply_to": "ghost"},
    }
    assert orjson.loads(wake_up.made_anew(raw(**changed), "settle")) == orjson.loads(wake_up.made_anew(raw(), "settle"))


def test_a_question_goes_on_without_its_arguments() -> None:
    made = orjson.loads(remote_command.made_anew(command("conf", arguments={"with_defaults": True})))
    assert orjson.loads(made["body"]) == {"method": "conf", "arguments": {}, "destination": None}
