"""The story with our real processes: from the documentation's body to a stored image, and every fault between."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import Installation, until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file."""
    with Installation(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


def test_the_documentations_own_body_becomes_a_stored_image_bought_once(here: Installation) -> None:
    """Accepted, submitted, called back, stored: the bytes equal what the sandbox served, the bill shows one POST."""
    answer = here.client.post("/v1/jobs", content=Path("api/example.json").read_bytes())
    assert answer.status_code == 202
    assert answer.headers["location"].endswith(answer.json()["id"])
    job = here.reaches(answer.json()["id"], "succeeded")
    image = job["images"][0]
    stored = here.client.get(f"/v1/jobs/{job['id']}/images/0").content
    served = _served_by_the_sandbox(here, job["attempts"][0]["request_id"])
    assert stored == served == next((here.folder / "images").rglob("0-*.png")).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == image["sha256"]
    assert (image["width"], image["height"], image["format"]) == (512, 512, "PNG")
    assert [row["track_id"] for row in here.bill(job["id"])] == [job["attempts"][0]["track_id"]]
    assert [row["to"] for row in job["timeline"]] == ["queued", "submitting", "processing", "storing", "succeeded"]
    assert job["adjustments"][0]["to"] == 21
    assert job["completed_via"] == "callback"


def test_a_manifest_lies_beside_the_images_and_holds_no_secret(here: Installation) -> None:
    """The archive outlives Redis."""
    job = here.reaches(here.post("a dog")["id"], "succeeded")
    manifest = until(lambda: next((here.folder / "images").rglob(f"{job['id'].lower()}/job.json"), None))
    text = manifest.read_text()
    assert job["images"][0]["sha256"] in text
    assert "sandbox-key" not in text
    assert "signature=" not in text


RECOVERED = {
    "[[sync]]": None,  # the callback of a result that the answer brings may be quicker
    "[[sync]] [[no-callback]]": "answer",
    "[[no-callback]]": "poll",
    "[[callback-first]]": "callback",
    "[[callback=3]]": "callback",
    "[[forged]]": "callback",
    "[[contradict=first]]": "callback",
    "[[contradict]]": "callback",
    "[[base64]]": "callback",
    "[[base64-inline]]": None,
    "[[base64-data-uri]]": None,
    "[[no-output]]": "callback",
    "[[image-404=1]]": "callback",
    "[[image-truncated=1]]": "callback",
    "[[image-trailer]]": "callback",
    "[[image-jpeg]]": "callback",
    "[[image-webp]]": "callback",
    "[[accept-then-drop]]": "callback",
    "[[garbled]]": "callback",
    "[[http=503]] [[taken]]": "callback",
    "[[no-id]]": "callback",
    "[[string-id]]": "callback",
    "[[messege]]": "callback",
    "[[nsfw]]": "callback",
    "[[busy=1]]": "callback",
}


@pytest.mark.parametrize(("fault", "via"), RECOVERED.items())
def test_a_fault_costs_time_and_nothing_else(here: Installation, fault: str, via: str | None) -> None:
    """Whatever goes wrong on the way, the image is stored and bought exactly once."""
    job = here.reaches(here.post(f"a boat {fault}")["id"], "succeeded", seconds=45)
    assert via is None or job["completed_via"] == via
    assert [row["taken"] for row in here.bill(job["id"])].count(True) == 1
    assert here.client.get(f"/v1/jobs/{job['id']}/images/0").status_code == 200
    assert job["nsfw"] == ("nsfw" in fault)


def test_a_failure_upstream_is_told_in_its_own_words(here: Installation) -> None:
    """`failed`, with a stable code, charged honestly."""
    job = here.reaches(here.post("a tree [[fail=out of paint]]")["id"], "failed")
    assert (job["error"]["code"], job["error"]["upstream_message"]) == ("upstream_failed", "out of paint")
    assert job["charged"] is True


def test_a_refused_request_is_not_tried_again(here: Installation) -> None:
    """A clear refusal ends the job, and nothing was bought."""
    job = here.reaches(here.post("a lake [[reject=no such model]]")["id"], "failed")
    assert (job["error"]["code"], job["charged"]) == ("upstream_rejected", False)
    assert [row["taken"] for row in here.bill(job["id"])] == [False]


def test_the_events_of_a_finished_job_replay_and_end(here: Installation) -> None:
    """From the first one, or after `Last-Event-ID`."""
    job = here.reaches(here.post("a hill")["id"], "succeeded")
    whole = here.client.get(f"/v1/jobs/{job['id']}/events").text
    assert [line[7:] for line in whole.splitlines() if line.startswith("event: ")] == [
        row["to"] for row in job["timeline"]
    ]
    rest = here.client.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": "3"}).text
    assert rest.count("event: ") == len(job["timeline"]) - 3


def test_prefer_wait_answers_with_the_finished_job(here: Installation) -> None:
    """200 and the end, without a poll by the caller."""
    body = {"model_id": "m", "prompt": "a field", "width": 64, "height": 64}
    answer = here.client.post("/v1/jobs", json=body, headers={"prefer": "wait=15"})
    assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")


def test_the_image_is_served_by_its_signed_address_in_parts_and_not_changed(here: Installation) -> None:
    """No key needed; Range, ETag, nosniff; a wrong signature is like no image."""
    job = here.reaches(here.post("a road")["id"], "succeeded")
    image = job["images"][0]
    whole = httpx.get(image["url"])
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = httpx.get(image["url"], headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert httpx.get(image["url"], headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    assert httpx.get(image["url"][:-4] + "AAAA").status_code == 404
    assert httpx.get(f"{here.client.base_url}/v1/jobs/{job['id']}/images/0").status_code == 401


def test_another_tenants_job_looks_exactly_like_none(here: Installation) -> None:
    """404, byte for byte but for the address."""
    job = here.post("a secret garden")
    other = {"authorization": "Bearer other-e2e-key-0123456789"}
    foreign = here.client.get(f"/v1/jobs/{job['id']}", headers=other)
    absent = here.client.get("/v1/jobs/01M859N4P0ZK88SXJWVC1PBXXR", headers=other)
    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert foreign.text.replace(job["id"], "X") == absent.text.replace("01M859N4P0ZK88SXJWVC1PBXXR", "X")


def test_the_prompt_and_the_keys_are_in_no_log(here: Installation) -> None:
    """Canaries through the whole path and a refusal."""
    here.reaches(here.post("canary-prompt-7c1f [[busy=1]]")["id"], "succeeded")
    here.client.post("/v1/jobs", json={"prompt": "canary-prompt-7c1f", "width": 9999})
    logs = "".join(here.log(name) for name in ("api", "worker"))
    assert "job.succeeded" in logs
    for canary in ("canary-prompt-7c1f", "a-secret-for-tests", "e2e-key-0123456789"):
        assert canary not in logs


def _served_by_the_sandbox(here: Installation, request_id: str) -> bytes:
    base = f"http://127.0.0.1:{here.sandbox_port}"
    body = {"key": "sandbox", "request_id": request_id}
    answer = httpx.post(f"{base}/api/v1/enterprise/fetch", json=body).json()
    return httpx.get(answer["output"][0]).content
