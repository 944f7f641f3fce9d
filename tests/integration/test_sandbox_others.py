"""What stands between us and the upstream, and what is somebody else's: gateways, edges, foreign ids, shared ids."""

from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.processes import until
from tests.support.sandbox import CalledBack, called_back, running_sandbox
from tests.support.sandbox_calls import HTTP

BASE = "/api/v1/enterprise"


@pytest.fixture
def url() -> Iterator[str]:
    """A sandbox of its own: what came before a request matters here."""
    with running_sandbox(sandbox_key="sandbox/rotated, other") as url:
        yield url


@pytest.fixture
def receiver() -> Iterator[CalledBack]:
    """Where callbacks go."""
    with called_back() as receiver:
        yield receiver


def submit(url: str, prompt: str, **more: object) -> httpx.Response:
    body = {"key": "sandbox", "model_id": "m", "prompt": prompt, "width": 16, "height": 16, "seed": 1} | more
    return HTTP.post(f"{url}{BASE}/text2img", json=body)


def fetched(url: str, request_id: object) -> dict[str, Any]:
    """What fetch tells once it is done."""
    body = {"key": "sandbox", "request_id": str(request_id)}
    return until(lambda: (told := HTTP.post(f"{url}{BASE}/fetch", json=body).json())["status"] != "processing" and told)


def bill(url: str, track_id: str | None = None) -> dict[str, Any]:
    return HTTP.get(f"{url}/bill", params={"track_id": track_id} if track_id else {}).json()


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 429, 502])
def test_a_gateway_answers_with_a_page_after_the_request_was_taken(url: str, receiver: CalledBack, status: int) -> None:
    """Billed, called back, and no JSON; a redirect says where to."""
    answer = submit(url, f"[[gateway={status}]]", track_id="t", webhook=receiver.url)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ("location" in answer.headers) == (status == 302)
    assert receiver.next()["status"] == "success"
    assert [row["status"] for row in bill(url, "t")["posts"] if row["taken"]] == [str(status)]


def test_an_edge_refuses_for_a_server_that_it_cannot_reach(url: str) -> None:
    """Not billed; with `once` the next POST gets through."""
    refused = submit(url, "[[edge=521]] [[once]]", track_id="t")
    assert (refused.status_code, refused.headers["server"]) == (521, "cloudflare")
    assert submit(url, "[[edge=521]] [[once]]", track_id="t").json()["status"] == "processing"
    assert [row["taken"] for row in bill(url, "t")["posts"]] == [False, True]


def test_a_full_queue_may_not_say_how_long(url: str) -> None:
    """429 without retry_after, then taken."""
    told = [submit(url, "[[busy-silent=1]]") for _ in range(2)]
    assert [answer.status_code for answer in told] == [429, 200]
    assert "retry_after" not in told[0].json()


def test_something_in_between_may_answer_fetch(url: str) -> None:
    """A page instead of an end."""
    request_id = submit(url, "[[fetch-gateway=502]]").json()["id"]
    answer = HTTP.post(f"{url}{BASE}/fetch", json={"key": "sandbox", "request_id": request_id})
    assert (answer.status_code, answer.text[:9]) == (502, "<!doctype")


@pytest.mark.parametrize("channel", ["answer", "callback", "fetch"])
def test_a_foreign_id_is_that_of_the_request_before(url: str, receiver: CalledBack, channel: str) -> None:
    """In that channel only; bare, in all of them."""
    before = submit(url, "somebody else's", track_id="theirs").json()["id"]
    prompt = f"[[foreign-id={channel}]] [[foreign-track={channel}]]"
    answer = submit(url, prompt, track_id="ours", webhook=receiver.url).json()
    callback, request_id = receiver.next(), int(bill(url, "ours")["posts"][0]["request_id"])
    told = {"answer": answer, "callback": callback, "fetch": fetched(url, request_id)}
    assert [name for name, body in told.items() if body["id"] == before] == [channel]
    assert [name for name, body in told.items() if body.get("track_id") == "theirs"] == [channel]


def test_one_id_may_be_given_to_two_requests(url: str, receiver: CalledBack) -> None:
    """Fetch then tells the first one's images, the callback the second one's own."""
    first = submit(url, "one [[same-id=twins]]", seed=1).json()
    second = submit(url, "two [[same-id=twins]]", seed=2, webhook=receiver.url).json()
    assert first["id"] == second["id"]
    assert fetched(url, second["id"])["output"] == first["future_links"]
    assert receiver.next()["output"] == second["future_links"]


def test_an_inline_image_and_its_link_differ_in_metadata(url: str) -> None:
    """The same pixels, other bytes; both are on the bill as made of that request."""
    answer = submit(url, "[[inline-and-links]]", track_id="t").json()
    inline = b64decode(answer["output"][0])
    linked = HTTP.get(fetched(url, answer["id"])["output"][0]).content
    pixels = [Image.open(BytesIO(data)).tobytes() for data in (inline, linked)]
    assert (answer["status"], inline == linked, pixels[0] == pixels[1]) == ("success", False, True)
    assert set(bill(url, "t")["posts"][0]["made"]) == {sha256(data).hexdigest() for data in (inline, linked)}


def test_the_bill_knows_whose_bytes_an_image_is(url: str) -> None:
    """By track_id: what was made of another request is not among them."""
    for name, seed in (("one", 1), ("two", 2)):
        data = HTTP.get(fetched(url, submit(url, "a cat", seed=seed, track_id=name).json()["id"])["output"][0]).content
        assert bill(url, name)["posts"][0]["made"] == [sha256(data).hexdigest()]


def test_an_eta_may_lie(url: str) -> None:
    """Two hours, and done at once."""
    answer = submit(url, "[[eta=7200]]").json()
    assert answer["eta"] == 7200
    assert fetched(url, answer["id"])["status"] == "success"


def test_only_one_image_of_several_may_be_missing(url: str) -> None:
    """`image` aims the faults of images."""
    links = fetched(url, submit(url, "[[image-404=1]] [[image=1]]", samples=3).json()["id"])["output"]
    assert [HTTP.get(link).status_code for link in links] == [200, 404, 200]
    assert HTTP.get(links[1]).status_code == 200


def test_an_images_address_may_redirect(url: str) -> None:
    """Wherever it is told to."""
    link = fetched(url, submit(url, "[[image-redirect]]").json()["id"])["output"][0]
    assert HTTP.get(link).headers["location"].startswith("http://169.254.169.254/")


def test_a_callback_may_say_that_it_is_being_worked_on_and_come_without_an_id(url: str, receiver: CalledBack) -> None:
    """First `processing`, then the end."""
    submit(url, "[[in-between]] [[no-callback-id]]", webhook=receiver.url)
    told = [receiver.next() for _ in range(2)]
    assert [body["status"] for body in told] == ["processing", "success"]
    assert not any("id" in body for body in told)


def test_what_a_key_holds_at_once_is_counted_by_key(url: str) -> None:
    """And the most it ever held, so that a limit can be proved."""
    for key, times in (("sandbox", 3), ("other", 2)):
        for _ in range(times):
            submit(url, "[[delay=0.3]]", key=key)
    counted = sorted(bill(url)["by_key"].values(), key=lambda held: held["max_in_flight"])
    assert [held["max_in_flight"] for held in counted] == [2, 3]
    until(lambda: bill(url)["in_flight"] == 0)
    assert [held["in_flight"] for held in bill(url)["by_key"].values()] == [0, 0]


def test_a_rotated_key_sees_what_its_account_has_asked_for(url: str) -> None:
    """Another account does not."""
    request_id = submit(url, "a cat").json()["id"]
    until(lambda: bill(url)["in_flight"] == 0)
    bodies = [{"key": key, "request_id": request_id} for key in ("rotated", "other")]
    told = [HTTP.post(f"{url}{BASE}/fetch", json=body).json() for body in bodies]
    assert [(body["status"], body.get("message")) for body in told] == [
        ("success", None), ("failed", "Request not found"),
    ]  # fmt: skip
