"""Other people's clients, unmodified, against our real processes: modelslab_py, openai, and the documented paths.

Setup: one installation of all processes. Proves: changing the base URL is enough, in success and in failure.
"""

import base64
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from standardwebhooks import Webhook

from tests.support.processes import KEY, Installation, until
from tests.support.receiver import Receiver
from worker.shown.compatible import job_id_of

with warnings.catch_warnings():  # the SDK, as it is published, is written for an older pydantic
    warnings.simplefilter("ignore")
    from modelslab_py.core.apis.community import Community  # type: ignore[import-untyped]
    from modelslab_py.core.client import Client  # type: ignore[import-untyped]
    from modelslab_py.schemas.community import Text2Image  # type: ignore[import-untyped]

pytestmark = pytest.mark.filterwarnings("ignore:The `dict` method is deprecated")

PATH = "/api/v1/enterprise"
PNG = b"\x89PNG\r\n\x1a\n"
REQUEST = {"key": KEY, "model_id": "m", "prompt": "a cat", "width": 64, "height": 64}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for all of it."""
    with Installation(tmp_path_factory.mktemp("installation"), openai_wait_seconds="5") as installation:
        yield installation


def sdk(here: Installation, key: str = KEY, *, enterprise: bool = True) -> Community:
    """The provider's SDK, its base URL changed and nothing else."""
    client = Client(key, fetch_retry=40, fetch_timeout=0.2)
    client.base_url = f"{here.settings['DARKROOM_PUBLIC_URL']}/api/"
    return Community(client=client, enterprise=enterprise)


def openai_client(here: Installation, key: str = KEY) -> Any:
    """OpenAI's client, its base URL changed and nothing else."""
    return openai.OpenAI(api_key=key, base_url=f"{here.settings['DARKROOM_PUBLIC_URL']}/v1")


def post(here: Installation, path: str, **body: Any) -> dict[str, Any]:
    """One call of the documented paths, without any header of ours; HTTP 200 whatever comes of it."""
    answer = httpx.post(f"{here.settings['DARKROOM_PUBLIC_URL']}{path}", json=body, timeout=20)
    assert answer.status_code == 200, answer.text
    shape: dict[str, Any] = answer.json()
    return shape


def ended(here: Installation, request_id: str, **more: Any) -> dict[str, Any]:
    """What fetch says once it no longer says processing."""

    def found() -> dict[str, Any] | None:
        shape = post(here, f"{PATH}/fetch", key=KEY, request_id=request_id, **more)
        return shape if shape["status"] != "processing" else None

    shape: dict[str, Any] = until(found, what="an end")
    return shape


@pytest.mark.parametrize("enterprise", [True, False])
def test_the_providers_sdk_makes_an_image(here: Installation, enterprise: bool) -> None:
    """text2img, then fetch until success, on the SDK's own paths of both families."""
    community = sdk(here, enterprise=enterprise)
    started = community.text_to_image(Text2Image(prompt="a cat", model_id="m", width=64, height=64))
    assert started["status"] == "processing"
    done = community.fetch(started["id"])
    assert done["status"] == "success"
    assert httpx.get(done["output"][0]).content.startswith(PNG)


def test_the_providers_sdk_sees_a_failure_and_a_bad_key(here: Installation) -> None:
    """A failed generation and a wrong key come in the upstream's words, not as exceptions."""
    started = sdk(here).text_to_image(Text2Image(prompt="a cat [[fail=no luck]]", model_id="m", width=64, height=64))
    assert "no luck" in ended(here, started["id"])["message"]
    refused = sdk(here, "not-a-key-of-ours").text_to_image(Text2Image(prompt="a cat", model_id="m"))
    assert (refused["status"], refused["message"]) == ("error", "Invalid Api Key")


def test_the_documented_paths_from_processing_to_success(here: Installation) -> None:
    """A future link is 404 first and the image in the end; the id may be sent as a number too."""
    started = post(here, f"{PATH}/text2img", **REQUEST | {"prompt": "slow"}, samples="2", not_known=1)
    assert started["status"] == "processing"
    assert isinstance(started["eta"], int | float)
    assert httpx.get(started["future_links"][1]).status_code == 404
    done = ended(here, started["id"])
    assert (done["status"], len(done["output"])) == ("success", 2)
    assert post(here, f"{PATH}/fetch", key=KEY, id=int(started["id"]))["status"] == "success"
    assert httpx.get(started["future_links"][1]).content.startswith(PNG)


def test_base64_is_given_where_it_was_asked_for(here: Installation) -> None:
    """`base64: yes` puts the image itself into `output`."""
    started = post(here, f"{PATH}/text2img", **REQUEST, base64="yes")
    assert base64.b64decode(ended(here, started["id"])["output"][0]).startswith(PNG)


def test_bad_requests_are_answered_in_the_upstreams_shape(here: Installation) -> None:
    """Missing fields by name, broken JSON, a body that is too large."""
    missing = post(here, f"{PATH}/text2img", key=KEY, model_id="m")
    assert missing["message"] == {"prompt": ["The prompt field is required."]}
    url = f"{here.settings['DARKROOM_PUBLIC_URL']}{PATH}/text2img"
    for body in (b"{", b"x" * 70_000):
        answer = httpx.post(url, content=body)
        assert (answer.status_code, answer.json()["status"]) == (200, "error")


def test_anothers_request_is_like_one_that_does_not_exist(here: Installation) -> None:
    """The very same answer, so that nobody learns which ids exist."""
    started = post(here, f"{PATH}/text2img", **REQUEST)
    theirs = post(here, f"{PATH}/fetch", key=f"other-{KEY}", request_id=started["id"])
    assert theirs == post(here, f"{PATH}/fetch", key=KEY, request_id="12345")
    assert theirs["message"] == "Request not found"


def test_an_idempotency_key_buys_once(here: Installation) -> None:
    """The header is honoured here too."""
    url = f"{here.settings['DARKROOM_PUBLIC_URL']}{PATH}/text2img"
    headers = {"idempotency-key": "compatible-1"}
    first, second = (httpx.post(url, json=REQUEST, headers=headers).json()["id"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("prompt", "status"), [("a cat", "success"), ("a cat [[fail=no luck]]", "failed")])
def test_the_webhook_is_told_in_the_upstreams_shape(here: Installation, prompt: str, status: str) -> None:
    """The caller's own webhook and track_id, the upstream's callback."""
    with Receiver() as receiver:
        body = REQUEST | {"prompt": prompt, "webhook": receiver.url, "track_id": "theirs"}
        started = post(here, f"{PATH}/text2img", **body)
        told = until(lambda: receiver.told[started["id"]], what="told")[0]
        (headers, raw) = receiver.requests[0]
    secret = here.run("webhooks", "secret").stdout.split()[0]
    assert Webhook(secret).verify(raw, headers)["id"] == started["id"]  # signed, like any delivery
    assert (told["status"], told["track_id"]) == (status, "theirs")
    assert ("output" in told) == (status == "success")


def test_management_calls_that_make_sense_are_answered(here: Installation) -> None:
    """system_details by the SDK, schedulers_list as documented."""
    assert sdk(here).system_details()["status"] == "ok"
    assert "UniPCMultistepScheduler" in post(here, f"{PATH}/schedulers_list", key=KEY)["schedulers"]


def test_openais_client_gets_addresses_and_bytes(here: Installation) -> None:
    """url and b64_json; n images."""
    images = openai_client(here).images
    answer = images.generate(prompt="a cat", model="m", n=2, size="64x64")
    assert [httpx.get(each.url).content[:8] for each in answer.data] == [PNG, PNG]
    answer = images.generate(prompt="a cat", model="m", size="64x64", response_format="b64_json")
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)
    answer = images.generate(prompt="a cat", model="m", size="auto")
    assert len(answer.data) == 1


def test_openais_client_raises_its_own_errors(here: Installation) -> None:
    """A bad size, too many, no model, a bad key, a failed generation: each is the exception it knows."""
    images = openai_client(here).images
    for wrong in ({"size": "9000x1"}, {"n": 5}, {"model": ""}):
        with pytest.raises(openai.BadRequestError) as caught:
            images.generate(**{"prompt": "a cat", "model": "m"} | wrong)
        assert caught.value.param == next(iter(wrong))
    with pytest.raises(openai.AuthenticationError):
        openai_client(here, "not-a-key-of-ours").images.generate(prompt="a cat", model="m")
    with pytest.raises(openai.InternalServerError, match="no luck"):
        images.generate(prompt="a cat [[fail=no luck]]", model="m", n=1)


def test_a_wait_that_is_too_short_names_the_job_and_buys_once(here: Installation) -> None:
    """The client does not repeat by itself, and the job goes on."""
    before = len(here.client.get("/v1/jobs?limit=100").json()["jobs"])
    with pytest.raises(openai.InternalServerError) as caught:
        openai_client(here).images.generate(prompt="a cat [[delay=9]]", model="m")
    body: Any = caught.value.body
    assert body["code"] == "timeout"
    job_id = body["message"].split()[1]
    assert here.job(job_id)["id"] == job_id
    assert len(here.client.get("/v1/jobs?limit=100").json()["jobs"]) == before + 1


def test_ids_come_back_whatever_their_form() -> None:
    """A number, a text, Darkroom's own id; anything else names nothing."""
    assert job_id_of("0") == "0" * 26
    assert [job_id_of(wrong) for wrong in ("", None, True, "1" * 40, "²", "-1")] == [None] * 6
