"""What the sandbox does: jobs, images, callbacks, the bill, over real sockets."""

import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.support.processes import until
from tests.support.sandbox import CalledBack, called_back, running_sandbox

HTTP = httpx.Client(trust_env=False, timeout=30)
FAMILIES = ("/api/v1/enterprise", "/api/v1/enterprise/images", "/api/v1/enterprise/community", "/api/v6/images")


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


def submit(url: str, prompt: str = "a cat", *, family: str = FAMILIES[0], **more: object) -> httpx.Response:
    body = {"key": "sandbox", "model_id": "m", "prompt": prompt, "width": 64, "height": "48"} | more
    return HTTP.post(f"{url}{family}/text2img", json=body)


def fetch(url: str, request_id: object, key: str = "sandbox") -> dict[str, Any]:
    return HTTP.post(f"{url}{FAMILIES[0]}/fetch", json={"key": key, "request_id": str(request_id)}).json()


def bill(url: str, track_id: str | None = None) -> dict[str, Any]:
    return HTTP.get(f"{url}/bill", params={"track_id": track_id} if track_id else {}).json()


def finished(url: str, answer: httpx.Response) -> list[str]:
    """The addresses of a request, once fetch knows them."""
    request_id = answer.json()["id"]
    return until(lambda: fetch(url, request_id)["status"] == "success" and fetch(url, request_id))["output"]


def image(address: str) -> Image.Image:
    image = Image.open(BytesIO(HTTP.get(address).raise_for_status().content))
    image.load()
    return image


# images


def test_an_image_has_the_size_that_was_asked_for(url: str) -> None:
    """Numbers may be text."""
    shown = image(finished(url, submit(url))[0])
    assert (shown.format, shown.size) == ("PNG", (64, 48))


def test_an_upscaled_image_is_twice_as_large(url: str) -> None:
    """Upscale doubles both sides."""
    assert image(finished(url, submit(url, upscale="yes"))[0]).size == (128, 96)


def test_samples_are_different_images(url: str) -> None:
    """Four samples, four scenes."""
    contents = {HTTP.get(address).content for address in finished(url, submit(url, samples="4"))}
    assert len(contents) == 4


def test_the_same_request_gives_the_same_bytes(url: str) -> None:
    """Prompt, seed and size decide."""
    one, two = (HTTP.get(finished(url, submit(url, seed=7))[0]).content for _ in range(2))
    assert one == two


def test_a_null_seed_comes_back_as_the_seed_that_was_used(url: str) -> None:
    """Asking again with it gives the same image."""
    first = submit(url, seed=None)
    seed = first.json()["meta"]["seed"]
    again = submit(url, seed=seed)
    assert 0 <= seed < 2**32
    assert HTTP.get(finished(url, first)[0]).content == HTTP.get(finished(url, again)[0]).content


def test_a_future_link_is_404_until_the_image_is_done(url: str) -> None:
    """And answers afterwards, at the same address."""
    address = submit(url, "[[delay=0.4]]").json()["future_links"][0]
    assert HTTP.get(address).status_code == 404
    assert until(lambda: HTTP.get(address).status_code == 200)


@pytest.mark.parametrize("change", ["-1.png", "-0.jpg", "-0", "-².png", ".png"])
def test_there_is_nothing_beside_an_image(url: str, change: str) -> None:
    """Other indexes and endings are 404."""
    address = finished(url, submit(url))[0]
    assert HTTP.get(address.replace("-0.png", change)).status_code == 404


def test_temporary_links_are_under_temp(url: str) -> None:
    """As documented."""
    address = finished(url, submit(url, temp="yes"))[0]
    assert address.startswith(f"{url}/temp/")
    assert HTTP.get(address).status_code == 200


def test_an_expired_address_lives_again_once_it_is_fetched(url: str) -> None:
    """Addresses die; fetch tells fresh ones."""
    answer = submit(url, "[[expire=0.3]]")
    address = finished(url, answer)[0]
    until(lambda: HTTP.get(address).status_code == 404)
    fetch(url, answer.json()["id"])
    assert HTTP.get(address).status_code == 200


def test_images_are_missing_for_the_first_reads(url: str) -> None:
    """`image-404` counts reads, not time."""
    address = finished(url, submit(url, "[[image-404=2]]"))[0]
    assert [HTTP.get(address).status_code for _ in range(3)] == [404, 404, 200]


def test_images_break_off_for_the_first_reads(url: str) -> None:
    """The connection ends before the announced length."""
    address = finished(url, submit(url, "[[image-truncated=2]]"))[0]
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            HTTP.get(address)
    assert image(address).size == (64, 48)


def test_an_image_may_trickle(url: str) -> None:
    """`slow-drip` spreads the bytes over that time, and they are whole in the end."""
    address = finished(url, submit(url, "[[slow-drip=0.4]]"))[0]
    began = time.monotonic()
    assert image(address).size == (64, 48)
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize(
    ("fault", "kind", "start"),
    [
        ("image-html", "image/png", b"<!doctype html>"),
        ("image-jpeg", "image/jpeg", b"\xff\xd8\xff"),
        ("image-webp", "image/webp", b"RIFF"),
        ("image-trailer", "image/png", b"\x89PNG"),
        ("nsfw", "image/png", b"\x89PNG"),
    ],
)
def test_an_image_is_what_the_fault_says(url: str, fault: str, kind: str, start: bytes) -> None:
    """Type and first bytes."""
    answer = HTTP.get(finished(url, submit(url, f"[[{fault}]]"))[0])
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(start)


def test_garbage_is_no_image(url: str) -> None:
    """Pillow does not know it."""
    with pytest.raises(OSError, match="cannot identify"):
        image(finished(url, submit(url, "[[image-garbage]]"))[0])


def test_a_trailer_follows_the_end_of_the_image(url: str) -> None:
    """Bytes after IEND."""
    content = HTTP.get(finished(url, submit(url, "[[image-trailer]]"))[0]).content
    assert content.endswith(b"</script>")


def test_a_bomb_is_small_and_claims_900_megapixels(url: str) -> None:
    """It is a valid PNG: only its size can be the reason to refuse it."""
    content = HTTP.get(finished(url, submit(url, "[[image-bomb]]"))[0], timeout=30).content
    assert len(content) < 200_000
    with pytest.raises(Image.DecompressionBombError, match="900000000 pixels"):
        Image.open(BytesIO(content))


def test_base64_addresses_lead_to_text(url: str) -> None:
    """Their path ends in .base64."""
    address = finished(url, submit(url, base64="yes"))[0]
    assert address.endswith(".base64")
    assert b64decode(HTTP.get(address).content, validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(("fault", "head"), [("base64-inline", ""), ("base64-data-uri", "data:image/png;base64,")])
def test_output_may_hold_the_images_themselves(url: str, fault: str, head: str) -> None:
    """Inline base64 and data: URIs."""
    text = submit(url, f"[[sync]] [[{fault}]]").json()["output"][0]
    assert text.startswith(head)
    assert b64decode(text.removeprefix(head), validate=True).startswith(b"\x89PNG")


def test_fewer_images_than_samples_may_come(url: str) -> None:
    """`fewer` takes away from the end."""
    assert len(finished(url, submit(url, "[[fewer=1]]", samples=3))) == 2


# answers


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


# taken or not


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


# callbacks


def test_a_callback_echoes_track_id_and_output(url: str, receiver: CalledBack) -> None:
    """The same id and addresses as the answer to the POST."""
    answer = submit(url, track_id="t-1", webhook=receiver.url).json()
    body = receiver.next()
    assert (body["track_id"], body["id"], body["output"]) == ("t-1", answer["id"], answer["future_links"])


def test_a_failed_job_is_told_with_its_text(url: str, receiver: CalledBack) -> None:
    """By callback and by fetch; there is no image."""
    answer = submit(url, "[[fail=out of paint]]", webhook=receiver.url).json()
    assert (receiver.next()["message"], fetch(url, answer["id"])["message"]) == ("out of paint", "out of paint")
    assert HTTP.get(answer["future_links"][0]).status_code == 404


def test_a_callback_may_come_before_the_answer(url: str, receiver: CalledBack) -> None:
    """It is delivered before the POST returns."""
    submit(url, "[[callback-first]]", webhook=receiver.url)
    assert receiver.waiting == 1


def test_a_callback_may_come_several_times(url: str, receiver: CalledBack) -> None:
    """The same body each time."""
    submit(url, "[[callback=3]]", webhook=receiver.url)
    first, *others = (receiver.next() for _ in range(3))
    assert others == [first, first]


def test_no_callback_may_come(url: str, receiver: CalledBack) -> None:
    """Fetch still knows; a later job's callback is the first to arrive."""
    finished(url, submit(url, "[[no-callback]]", track_id="silent", webhook=receiver.url))
    submit(url, track_id="loud", webhook=receiver.url)
    assert receiver.next()["track_id"] == "loud"


def test_a_result_may_be_told_late(url: str, receiver: CalledBack) -> None:
    """The image is there, fetch says processing, the callback is still to come."""
    answer = submit(url, "[[late=0.5]]", webhook=receiver.url).json()
    until(lambda: HTTP.get(answer["future_links"][0]).status_code == 200)
    assert (fetch(url, answer["id"])["status"], receiver.waiting) == ("processing", 0)
    assert receiver.next()["status"] == "success"
    assert fetch(url, answer["id"])["status"] == "success"


def test_forged_callbacks_come_before_the_true_one(url: str, receiver: CalledBack) -> None:
    """Wrong token, other track_id, other id; each with an attacker's address."""
    answer = submit(url, "[[forged]]", track_id="t-1", webhook=receiver.url).json()
    calls = [receiver.next_with_path() for _ in range(4)]
    token_path = httpx.URL(receiver.url).path
    assert [path == token_path for path, _ in calls] == [False, True, True, True]
    assert [body["track_id"] == "t-1" for _, body in calls] == [True, False, True, True]
    assert [body["id"] == answer["id"] for _, body in calls] == [True, True, False, True]
    assert ["attacker" in str(body["output"]) for _, body in calls] == [True, True, True, False]


@pytest.mark.parametrize(("fault", "told"), [("contradict", ["success", "failed"]), ("contradict=first", ["failed"])])
def test_callbacks_may_contradict_each_other(url: str, receiver: CalledBack, fault: str, told: list[str]) -> None:
    """`failed` after the success, or before it with another id."""
    answer = submit(url, f"[[{fault}]]", webhook=receiver.url).json()
    bodies = [receiver.next() for _ in range(2)]
    assert [body["status"] for body in bodies][: len(told)] == told
    assert (bodies[0]["id"] == answer["id"]) is (fault == "contradict")


def test_success_without_output_has_to_be_fetched(url: str, receiver: CalledBack) -> None:
    """The callback is empty, fetch is not."""
    answer = submit(url, "[[no-output]]", webhook=receiver.url).json()
    assert "output" not in receiver.next()
    assert fetch(url, answer["id"])["output"]


def test_a_dead_receiver_harms_nobody(url: str) -> None:
    """A lost callback is lost, as documented; the job is done all the same."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    assert finished(url, submit(url, webhook=dead))


# people, load, the end


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
