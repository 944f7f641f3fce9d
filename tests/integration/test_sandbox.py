"""What the sandbox answers, takes and bills, over real sockets; its page for people, and its end."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.processes import until
from tests.support.sandbox import CalledBack, called_back, running_sandbox
from tests.support.sandbox_calls import FAMILIES, HTTP, bill, fetch, submit


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One sandbox for the whole module, with two keys."""
    with running_sandbox(sandbox_key="sandbox, other") as url:
        yield url


@pytest.fixture
def receiver() -> Iterator[CalledBack]:
    """Where callbacks go."""
    with called_back() as receiver:
        yield receiver


@pytest.mark.parametrize("family", FAMILIES)
def test_every_path_variant_takes_and_fetches(url: str, family: str) -> None:
    """The id is in the path or in the body."""
    request_id = str(submit(url, "[[sync]]", family=family).json()["id"])
    by_path = HTTP.post(f"{url}{family}/fetch/{request_id}", json={"key": "sandbox"}).json()
    by_body = HTTP.post(f"{url}{family}/fetch", json={"key": "sandbox", "request_id": request_id}).json()
    assert by_path["status"] == by_body["status"] == "success"


def test_the_address_in_fetch_result_answers(url: str) -> None:
    """It is a path variant with the id."""
    address = submit(url, "[[delay=60]]").json()["fetch_result"]
    assert HTTP.post(address, json={"key": "sandbox"}).json()["status"] == "processing"


def test_another_key_does_not_see_a_request(url: str) -> None:
    """Fetch goes to the key that submitted."""
    assert fetch(url, submit(url, "[[sync]]").json()["id"], key="other")["message"] == "Request not found"


@pytest.mark.parametrize("path", ["/api/v1/enterprise/nonsense", "/api/v9/text2img"])
def test_a_wrong_address_answers_json_without_status(url: str, path: str) -> None:
    """That is how a wrong base address is told from a refusal."""
    answer = HTTP.post(f"{url}{path}", json={"key": "sandbox"})
    assert (answer.status_code, answer.json()) == (404, {"message": ""})


@pytest.mark.parametrize(
    "more",
    [
        {"width": 0},
        {"height": "1025"},
        {"samples": 5},
        {"samples": "²"},
        {"seed": "x"},
        {"seed": 10**30},
        {"guidance_scale": "nan"},
        {"num_inference_steps": "many"},
        {"scheduler": "Nobody"},
        {"clip_skip": [1]},
        {"model_id": None},
        {"prompt": 5},
    ],
    ids=str,
)
def test_a_bad_field_is_an_error_that_is_not_billed(url: str, more: dict[str, object]) -> None:
    """200 with `error`, a row in the bill, nothing taken."""
    taken = bill(url)["taken"]
    answer = submit(url, **more)
    assert (answer.status_code, answer.json()["status"]) == (200, "error")
    assert bill(url)["taken"] == taken
    assert bill(url)["posts"][-1]["status"] == "refused"


def test_a_body_that_is_too_large_is_refused(url: str) -> None:
    """Nothing is read without a bound."""
    assert submit(url, "x" * 300_000).json()["status"] == "error"


def test_the_pages_own_body_is_taken(url: str) -> None:
    """The example of the documents, with its 20 steps."""
    body = {"num_inference_steps": "20", "seed": None, "guidance_scale": 7.5, "clip_skip": "2", "vae": None}
    assert submit(url, **body, scheduler="UniPCMultistepScheduler", webhook=None).json()["status"] == "processing"


def test_the_id_may_be_a_string_or_missing(url: str) -> None:
    """Both occur."""
    assert isinstance(submit(url, "[[string-id]]").json()["id"], str)
    assert "id" not in submit(url, "[[no-id]]").json()


def test_an_answer_may_be_late(url: str) -> None:
    """The job goes on meanwhile: its image is done before the answer comes."""
    address = submit(url, "[[answer-delay=0.3]]").json()["future_links"][0]
    assert HTTP.get(address).status_code == 200


def test_a_status_that_is_asked_for_is_not_billed(url: str) -> None:
    """Unless the prompt says that it was taken."""
    assert submit(url, "[[http=503]]", track_id="plain").status_code == 503
    assert submit(url, "[[http=503]] [[taken]]", track_id="billed").status_code == 503
    assert (bill(url, "plain")["taken"], bill(url, "billed")["taken"]) == (0, 1)


def test_a_status_may_be_asked_for_once(url: str) -> None:
    """The same prompt is taken the second time."""
    prompt = "once [[http-once=429]]"
    assert [submit(url, prompt).status_code for _ in range(3)] == [429, 200, 200]


def test_busy_refuses_the_first_posts_of_a_prompt(url: str) -> None:
    """Then it is taken."""
    assert [submit(url, "twice [[busy=2]]").status_code for _ in range(3)] == [429, 429, 200]


def test_a_dropped_answer_is_billed_and_called_back(url: str, receiver: CalledBack) -> None:
    """The only sign of it is the callback."""
    with pytest.raises(httpx.RemoteProtocolError):
        submit(url, "[[accept-then-drop]]", track_id="dropped", webhook=receiver.url)
    assert bill(url, "dropped")["by_track_id"] == {"dropped": 1}
    assert receiver.next()["track_id"] == "dropped"


def test_a_garbled_answer_is_billed(url: str) -> None:
    """Half an answer, 200, and the job goes on."""
    answer = submit(url, "[[garbled]]", track_id="garbled")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"delimiter|Expecting|Unterminated"):
        answer.json()
    assert bill(url, "garbled")["taken"] == 1


def test_the_bill_tells_every_post(url: str) -> None:
    """Also those without a track_id and those that were refused; keys only as a fingerprint."""
    HTTP.post(f"{url}/sandbox/reset")
    submit(url)
    submit(url, key="wrong-secret-key")
    submit(url, track_id="t-1")
    told = HTTP.get(f"{url}/bill")
    rows = told.json()["posts"]
    assert [(row["track_id"], row["taken"], row["status"]) for row in rows] == [
        (None, True, "taken"),
        (None, False, "refused"),
        ("t-1", True, "taken"),
    ]
    assert "wrong-secret-key" not in told.text
    assert told.json()["by_track_id"] == {"t-1": 1}


def test_the_queue_of_a_key_is_limited() -> None:
    """Beyond it a 429 with the wait in the body; a place is free again once a job is done."""
    with running_sandbox(sandbox_queue_limit=2, sandbox_key="sandbox,other") as url:
        answers = [submit(url, "[[delay=0.5]]") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["message"] == "Rate limit exceeded. Maximum 2 queued requests allowed."
        assert answers[2].json()["retry_after"] > 0
        assert submit(url, key="other").status_code == 200
        until(lambda: submit(url, "[[delay=60]]").status_code == 200)
        assert bill(url)["max_in_flight"] == 2
        assert bill(url)["refused_429"] >= 1


def test_the_page_for_people_lists_the_faults(url: str) -> None:
    """And says that this is a sandbox."""
    page = HTTP.get(url).text
    assert "This is not the provider" in page
    assert "[[accept-then-drop]]" in page


def test_hundreds_of_jobs_run_at_once() -> None:
    """They share one event loop: 400 jobs of half a second take nothing like 200 seconds."""
    with running_sandbox() as url, ThreadPoolExecutor(16) as posters:
        body = {"key": "sandbox", "model_id": "m", "prompt": "[[delay=0.5]]"}
        began = time.monotonic()
        list(posters.map(lambda _: HTTP.post(f"{url}{FAMILIES[0]}/text2img", json=body), range(400)))
        until(lambda: bill(url)["in_flight"] == 0)
        assert time.monotonic() - began < 20
        assert bill(url)["taken"] == 400


def test_stopping_does_not_wait_for_jobs() -> None:
    """What is in work is dropped with the sandbox."""
    with running_sandbox() as url:
        submit(url, "[[delay=600]]")
        began = time.monotonic()
    assert time.monotonic() - began < 5
