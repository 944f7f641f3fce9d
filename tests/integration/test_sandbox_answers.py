"""The sandbox's live answers have the fields and JSON types of the recordings of the same case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.sandbox import CalledBack, called_back, running_sandbox
from tests.support.sandbox_calls import HTTP

RECORDINGS = Path(__file__).parent.parent / "recordings"
REQUEST = {"key": "sandbox", "model_id": "some-model", "prompt": "a lighthouse", "width": "64", "height": 64}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One sandbox for the whole module."""
    with running_sandbox() as url:
        yield f"{url}/api/v1/enterprise"


@pytest.fixture(scope="module")
def receiver() -> Iterator[CalledBack]:
    """Where callbacks go."""
    with called_back() as receiver:
        yield receiver


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def submit(url: str, prompt: str = "a lighthouse", **more: object) -> httpx.Response:
    return HTTP.post(f"{url}/text2img", json=REQUEST | {"prompt": prompt} | more)


def fetch(url: str, request_id: object) -> httpx.Response:
    return HTTP.post(f"{url}/fetch", json={"key": "sandbox", "request_id": str(request_id)})


def assert_same_shape(live: object, recording: object, path: str = "body") -> None:
    """The same type everywhere, and in objects every recorded field; ids are an int or a text, null is "not given"."""
    if recording is None or live is None:
        return
    if path.endswith((".id", ".eta", ".retry_after")):
        assert isinstance(live, int | float | str), path
        return
    assert type(live) is type(recording), f"{path}: {type(live)} is not {type(recording)}"
    if isinstance(recording, dict):
        for name, value in recording.items():
            assert name in live, f"{path}.{name} is missing"
            assert_same_shape(live[name], value, f"{path}.{name}")
    if isinstance(recording, list) and recording and live:
        assert_same_shape(live[0], recording[0], f"{path}[0]")


def assert_as_recorded(answer: httpx.Response, name: str) -> None:
    recording = recorded(name)
    assert answer.status_code == recording["http_status"]
    assert_same_shape(answer.json(), recording["body"])


def known_fields() -> set[str]:
    bodies = [recorded(path.stem)["body"] for path in RECORDINGS.glob("*.json")]
    return {name for body in bodies for name in body}


def test_a_queued_request_is_answered_as_recorded(url: str) -> None:
    """`processing`, in the spelling of the documents."""
    assert_as_recorded(submit(url, "a [[messege]]"), "submit-processing")


def test_a_request_that_is_done_at_once_is_answered_as_recorded(url: str) -> None:
    """`success` with the whole of meta."""
    assert_as_recorded(submit(url, "[[sync]]", vae="some-vae", seed=7), "submit-success")


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"prompt": ""}, "submit-error-field"),
        ({"key": "wrong"}, "submit-error-key-old"),
        ({"prompt": "[[reject=Model id not found]]"}, "submit-error-model-old"),
        ({"prompt": "[[sync]] [[fail]]"}, "submit-failed"),
        ({"prompt": "[[http=401]]"}, "submit-error-key"),
        ({"prompt": "[[http=402]]"}, "submit-error-credits"),
        ({"prompt": "[[http=403]]"}, "submit-error-subscription"),
        ({"prompt": "[[http=404]]"}, "submit-wrong-url"),
        ({"prompt": "[[http=429]]"}, "submit-error-queue-full"),
        ({"prompt": "[[http=500]]"}, "submit-error-500"),
        ({"prompt": "[[http=503]]"}, "submit-error-503"),
    ],
)
def test_a_refusal_is_answered_as_recorded(url: str, more: dict[str, str], name: str) -> None:
    """Status, fields and, but for the old spelling of a key's refusal, the very words."""
    answer = submit(url, **more)
    recording = recorded(name)
    assert answer.status_code == recording["http_status"]
    said = {field: value for field, value in recording["body"].items() if field not in ("tip", "retry_after")}
    live = {field: answer.json()[field] for field in said}
    assert json.dumps(live).lower() == json.dumps(said).lower()


def test_a_body_that_is_no_json_is_answered_as_recorded(url: str) -> None:
    """200 and "Invalid API Request"."""
    assert_as_recorded(HTTP.post(f"{url}/text2img", content=b'{"key":'), "submit-error-broken-json")


def test_a_finished_request_is_fetched_as_recorded(url: str) -> None:
    """`success` without meta."""
    assert_as_recorded(fetch(url, submit(url, "[[sync]]").json()["id"]), "fetch-success")


def test_a_request_in_work_is_fetched_as_recorded(url: str) -> None:
    """`processing`, no id, output an empty string."""
    assert_as_recorded(fetch(url, submit(url, "[[delay=60]]").json()["id"]), "fetch-processing")


@pytest.mark.parametrize("request_id", ["1", "abc", "", "²", "9" * 40])
def test_an_unknown_request_is_fetched_as_recorded(url: str, request_id: str) -> None:
    """`failed` with an empty id."""
    assert_as_recorded(fetch(url, request_id), "fetch-not-found")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a cat", "callback-success"),
        ("[[no-output]]", "callback-success-without-output"),
        ("[[fail]]", "callback-failed"),
        ("[[fail]] [[no-track-id]]", "callback-failed-without-track-id"),
    ],
)
def test_a_callback_comes_as_recorded(url: str, receiver: CalledBack, prompt: str, name: str) -> None:
    """Over a real socket, with the recorded fields and no unrecorded one."""
    submit(url, prompt, webhook=receiver.url, track_id="job-1")
    live, recording = receiver.next(), recorded(name)["body"]
    live_meta, recorded_meta = live.pop("meta", {}), recording.pop("meta", {})
    assert_same_shape(live, recording)
    assert set(live) <= known_fields()
    assert ("output" in live, "track_id" in live) == ("output" in recording, "track_id" in recording)
    assert bool(live_meta) >= bool(recorded_meta)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("system_details", "management-system-details"),
        ("schedulers_list", "management-schedulers-list"),
        ("get_all_models", "management-get-all-models"),
        ("load_model", "management-verb"),
    ],
)
def test_a_management_call_is_answered_as_recorded(url: str, call: str, name: str) -> None:
    """The fields of the documents."""
    assert_as_recorded(HTTP.post(f"{url}/{call}", json={"key": "sandbox"}), name)


def test_no_answer_to_a_submit_has_a_field_that_is_not_recorded(url: str) -> None:
    """Inventing a field would let our client rely on it."""
    for prompt in ("a cat", "[[sync]]", "[[sync]] [[fail]]", "[[messege]]", "[[reject]]", "[[http=429]]"):
        assert set(submit(url, prompt).json()) <= known_fields()
