"""Every call of the OpenAPI schema: with a name that is another tenant's, as a list, and with a JSON bomb."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.app import create_app
from config.settings import Settings
from tests.support.api_server import running_api
from worker.job.ids import new_job_id

ABSENT = new_job_id(1_700_000_000_000)
CANARY = "a canary in a cage"
BODY = {"model_id": "m", "prompt": CANARY, "webhook": "https://receiver.example.com/hook"}
BODIES: dict[str, dict[str, Any]] = {"resolve": {"action": "fail"}}
OURS = {"authorization": "Bearer other-key-0123"}
THEIRS = {"authorization": "Bearer acme-key-0123"}
NOT_FOR_A_TENANT = {"/webhooks/modelslab/{token}"}
"""Calls whose name is no tenant's: tests of their own ask for those."""
BOMBS = {
    "deep": b"[" * 10_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "digits": b'{"width":' + b"9" * 20_000 + b"}",
    "not a number": b'{"width":NaN,"height":-Infinity}',
    "no text": b'{"prompt":"\xff\xfe"}',
    "half a pair": b'{"prompt":"\\ud800"}',
    "thousands of members": b"{" + b",".join(b'"m%d":1' % each for each in range(4_000)) + b"}",
}


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client without a key of a running API."""
    with running_api(settings) as http:
        yield http


def calls(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every call in the schema, whoever added it."""
    paths = create_app(settings).openapi()["paths"]
    return [(method.upper(), path, call) for path, methods in paths.items() for method, call in methods.items()]


def test_every_call_that_names_a_thing_answers_for_anothers_as_for_none(
    client: httpx.Client, settings: Settings
) -> None:
    """Status, headers and body, but the name itself; and the other's thing is as it was."""
    theirs = named_things(client)
    asked = [(method, path) for method, path, _ in calls(settings) if "{" in path and path not in NOT_FOR_A_TENANT]
    assert len(asked) >= 11
    for method, path in asked:
        body = BODIES.get(path.rpartition("/")[2])
        foreign, absent = (
            client.request(method, filled(path, names), headers=OURS, json=body) for names in (theirs, nobodys(theirs))
        )
        assert foreign.status_code == absent.status_code == 404, (method, path, foreign.text)
        assert plain(foreign, theirs) == plain(absent, theirs), (method, path)
    assert client.get(f"/v1/jobs/{theirs['job_id']}", headers=THEIRS).json()["status"] == "cancelled"


def named_things(client: httpx.Client) -> dict[str, str]:
    """By parameter of a path: the name of a thing of acme's. A cancelled job has a delivery."""
    job_id = client.post("/v1/jobs", json=BODY, headers=THEIRS).json()["id"]
    assert client.post(f"/v1/jobs/{job_id}/cancel", headers=THEIRS).json()["status"] == "cancelled"
    [delivery] = client.get(f"/v1/jobs/{job_id}/deliveries", headers=THEIRS).json()["deliveries"]
    return {"job_id": job_id, "delivery_id": delivery["id"]}


def nobodys(names: dict[str, str]) -> dict[str, str]:
    """The same names of a job that never was."""
    return {kind: name.replace(names["job_id"], ABSENT) for kind, name in names.items()}


def filled(path: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "0"), path)


def plain(answer: httpx.Response, names: dict[str, str]) -> tuple[dict[str, str], str]:
    text = answer.text.replace(names["job_id"], "NAME").replace(ABSENT, "NAME")
    return {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}, text


def test_no_list_has_anything_of_another_tenant(client: httpx.Client, settings: Settings) -> None:
    """Every call that needs no name: what it answers knows nothing of the other's job."""
    theirs = named_things(client)
    asked = [
        path for method, path, _ in calls(settings) if method == "GET" and path.startswith("/v1/") and "{" not in path
    ]
    assert len(asked) >= 5
    for path in asked:
        answer = client.get(path, headers=OURS)
        assert answer.status_code == 200, path
        assert not any(each in answer.text for each in (CANARY, *theirs.values())), path


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_call_breaks_by_a_json_bomb(client: httpx.Client, settings: Settings, bomb: str) -> None:
    """Every call of the schema, with a key: refused or ignored, never an error of ours."""
    for method, path, _ in calls(settings):
        if method != "GET":
            headers = THEIRS | {"content-type": "application/json"}
            answer = client.request(method, filled(path, {}), headers=headers, content=BOMBS[bomb])
            assert answer.status_code < 500, (method, path, answer.text)
            assert "9" * 100 not in answer.text
