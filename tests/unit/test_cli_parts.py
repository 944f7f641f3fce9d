"""The parts of the command that decide without asking anybody."""

import fcntl
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import pytest

from api.cli.caller.connection import ApiRefusal, Exit, exit_of, plain
from api.cli.caller.following import exit_of_job, read_events
from api.cli.caller.rendering import job_path
from api.cli.caller.submit import request_body
from api.cli.operator.keys import _lasts, _scopes
from api.cli.stack.ports import choose_ports
from api.cli.stack.redis_server import free_port
from api.cli.stack.running import FOLDER, Running, note_running, running_here, settings_here
from config.settings import Settings
from worker.store.api_keys import Key, decode_key, encode_key, is_made_key, new_key


def test_events_are_read_from_lines_and_a_half_one_is_none() -> None:
    """Signs of life are told apart; what breaks off in the middle was not said."""
    whole = ["id: 3", "event: queued", 'data: {"to":', 'data: "queued"}', ""]
    lines = [": still here", "", *whole, "id:", "id: 4", "data: {"]
    assert list(read_events(lines)) == [None, (3, {"to": "queued"})]


@pytest.mark.parametrize(
    ("given", "attributes", "sent"),
    [
        ({}, {"prompt": "a"}, {"prompt": "a"}),
        ({"prompt": "a", "width": 1}, {"width": "2"}, {"prompt": "a", "width": "2"}),
        ({"metadata": {"a": 1}}, {"metadata": {"b": "2"}}, {"metadata": {"a": 1, "b": "2"}}),
        ({"prompt": "a", "metadata": None}, {}, {"prompt": "a", "metadata": None}),
        ([{"prompt": "a"}], {}, [{"prompt": "a"}]),
    ],
)
def test_options_go_over_the_file(given: Any, attributes: dict[str, Any], sent: Any) -> None:
    """Metadata is joined."""
    assert request_body(given, attributes) == sent


@pytest.mark.parametrize(("given", "attributes"), [({}, {}), ([{}], {"seed": "1"}), ("text", {}), (None, {})])
def test_what_cannot_be_sent_is_refused_before_anybody_is_asked(given: Any, attributes: dict[str, Any]) -> None:
    """Exit code 2."""
    with pytest.raises(ApiRefusal) as refusal:
        request_body(given, attributes)
    assert refusal.value.exit is Exit.REFUSED


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 2),
        (401, 4),
        (403, 4),
        (404, 5),
        (409, 2),
        (413, 2),
        (422, 2),
        (429, 3),
        (500, 3),
        (502, 3),
        (503, 3),
        (507, 3),
    ],
)
def test_a_status_has_its_exit_code(status: int, code: int) -> None:
    """What is worth trying again is told from what is not."""
    assert exit_of(status) == code


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("expired", 1), ("processing", 6)])
def test_a_jobs_end_has_its_exit_code(status: str, code: int) -> None:
    """For whoever waited."""
    assert exit_of_job({"status": status}) == code


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    """No escape sequence, no new line; letters of every language stay."""
    assert plain("grün \x1b]0;title\x07\nnext\u202e") == "grün  ]0;title  next "


def test_an_id_stays_one_segment_of_the_address() -> None:
    """So that a wrong one is not found, and nothing else is asked."""
    assert job_path("../../healthz?x#y") == "/v1/jobs/..%2F..%2Fhealthz%3Fx%23y"


def test_a_stack_is_believed_only_while_its_folder_is_locked(tmp_path: Path) -> None:
    """A note that a killed stack left behind leads nowhere."""
    assert running_here(tmp_path) is None
    running = Running("http://127.0.0.1:1", "redis://127.0.0.1:2/0")
    note_running(tmp_path, running)
    assert (tmp_path / "running.json").stat().st_mode & 0o777 == 0o600
    with (tmp_path / "lock").open("w") as lock:
        assert running_here(tmp_path) is None
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running_here(tmp_path) == running
    assert running_here(tmp_path) is None
    assert Path(".darkroom") == FOLDER


def test_the_stacks_settings_are_those_of_verbs_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images and its upstream go with its Redis; a Redis that is named stands for itself."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".darkroom"
    folder.mkdir()
    settings = {"secret": "s" * 20, "images_url": "file:///elsewhere", "image_hosts": "127.0.0.1"}
    note_running(folder, Running("http://127.0.0.1:1", "redis://127.0.0.1:2/0", settings))
    monkeypatch.setattr("api.cli.stack.running.load_settings", lambda: Settings(_env_file=None))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = settings_here()
        monkeypatch.setattr(
            "api.cli.stack.running.load_settings", lambda: Settings(_env_file=None, redis_url="redis://h:3/0")
        )
        named = settings_here()
    assert (found.redis_url.get_secret_value(), found.images_url) == ("redis://127.0.0.1:2/0", "file:///elsewhere")
    assert (named.redis_url.get_secret_value(), named.images_url) == ("redis://h:3/0", "file://./data/images")


def test_a_stacks_ports_are_those_of_the_environment_then_of_its_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A throwaway stack does not look at the file."""
    monkeypatch.chdir(tmp_path)
    api, sandbox, flower, other = (free_port() for _ in range(4))
    (tmp_path / ".env").write_text(f"DARKROOM_PORT={api}\nDARKROOM_SANDBOX_PORT={sandbox}\nFLOWER_PORT={flower}\n")
    ports = choose_ports(may_move=False)
    assert (ports.api, ports.sandbox, ports.flower) == (api, sandbox, flower)
    assert choose_ports(may_move=True).api != api
    monkeypatch.setenv("DARKROOM_PORT", str(other))
    assert choose_ports(may_move=False).api == other


def test_compose_publishes_the_ports_that_env_names() -> None:
    """Inside of their containers they stay what they are."""
    text = Path("docker-compose.yml").read_text()
    for name, usual in (("DARKROOM_PORT", 8000), ("DARKROOM_SANDBOX_PORT", 8001), ("FLOWER_PORT", 5555)):
        assert f'ports: ["127.0.0.1:${{{name}:-{usual}}}:{usual}"]' in text


def test_scopes_and_durations_are_read_or_refused() -> None:
    """In the order of the scopes, without doubles."""
    assert _scopes("read, submit,read") == ("submit", "read")
    assert _lasts("90d") == 90 * 86_400_000
    for wrong in ("0d", "9", "-1d", "1y", "d"):
        with pytest.raises(ArgumentTypeError):
            _lasts(wrong)
    for wrong in ("", "root", "read;submit"):
        with pytest.raises(ArgumentTypeError):
            _scopes(wrong)


def test_a_key_allows_what_its_scopes_say() -> None:
    """`admin` everything; a record comes back as it was written."""
    reader, admin = Key("a", "acme", ("read",)), Key("b", "acme", ("admin",), "n", 1, 5)
    assert [reader.allows(scope) for scope in ("submit", "read", "admin")] == [False, True, False]
    assert all(admin.allows(scope) for scope in ("submit", "read", "admin"))
    assert [admin.expired(at) for at in (4, 5, 6)] == [False, True, True]
    assert decode_key(encode_key(admin)) == admin


def test_a_made_key_is_told_by_its_form() -> None:
    """Nothing else is ever looked up in Redis."""
    text, key_id = new_key()
    assert is_made_key(text)
    assert text[3:11] == key_id
    assert not any(map(is_made_key, (text[:-1], text + "A", text.upper(), "", f"{text}\n", text.replace("dk_", "sk_"))))
