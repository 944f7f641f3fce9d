"""What callers rely on, call by call, with our real processes: the rows that no other story here walks through."""

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.processes import KEY, Installation, until
from tests.support.receiver import Receiver

BODY = {"model_id": "m", "prompt": "a cat", "width": 64, "height": 64}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file; what is unknown is acted on at once."""
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, unknown_wait_seconds="60", upstream_timeout_seconds="2") as installation:
        yield installation


def test_a_repeated_request_is_one_job_also_while_the_first_is_in_flight(here: Installation) -> None:
    """The same key and body: the same answer. Another body: 422. Another tenant: its own job."""
    headers = {"Idempotency-Key": "e2e-1"}
    first = here.client.post("/v1/jobs", json=BODY, headers=headers).json()
    again = here.client.post("/v1/jobs", json=BODY, headers=headers).json()
    assert again["id"] == first["id"]
    other = here.client.post("/v1/jobs", json=BODY | {"seed": 1}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    theirs = here.client.post("/v1/jobs", json=BODY, headers=headers | {"authorization": f"Bearer other-{KEY}"}).json()
    assert theirs["id"] != first["id"]
    done = here.reaches(first["id"], "succeeded")
    assert len(here.bill(done["id"])) == 1


def test_a_batch_is_accepted_whole_and_in_order(here: Installation) -> None:
    """All or none; the answers are in the order of the requests."""
    batch = [BODY | {"track_id": f"row-{number}"} for number in range(5)]
    jobs = here.client.post("/v1/jobs/batch", json=batch).json()["jobs"]
    assert [job["track_id"] for job in jobs] == [f"row-{number}" for number in range(5)]
    assert [job["id"] for job in jobs] == sorted(job["id"] for job in jobs)
    refused = here.client.post("/v1/jobs/batch", json=[*batch, {"prompt": "no model"}])
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "5.model_id")
    for job in jobs:
        here.reaches(job["id"], "succeeded")


def test_a_list_filters_by_everything_it_says_and_pages_while_jobs_are_deleted(here: Installation) -> None:
    """status, track_id, metadata, created range, limit, cursor; newest first."""
    marked = [here.post("listed", metadata={"shelf": 7, "flag": True}, track_id=f"l-{n}") for n in range(5)]
    for job in marked:
        here.reaches(job["id"], "succeeded")
    ids = [job["id"] for job in marked]

    def listed(**query: Any) -> dict[str, Any]:
        answer = here.client.get("/v1/jobs", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    found = listed(**{"metadata.shelf": "7", "metadata.flag": "true", "status": "succeeded"})
    assert [job["id"] for job in found["jobs"]] == ids[::-1]
    assert "timeline" not in found["jobs"][0]
    assert [job["id"] for job in listed(track_id="l-3")["jobs"]] == [ids[3]]
    moment = datetime.fromisoformat(here.job(ids[2])["created_at"])
    later = listed(created_after=moment.isoformat(), **{"metadata.shelf": "7"})
    assert ids[2] in [job["id"] for job in later["jobs"]]
    before = listed(created_before=(moment - timedelta(milliseconds=1)).isoformat(), **{"metadata.shelf": "7"})
    assert ids[4] not in [job["id"] for job in before["jobs"]]
    page = listed(limit=2, **{"metadata.shelf": "7"})
    assert here.client.delete(f"/v1/jobs/{page['next_cursor']}").status_code == 204
    rest = listed(limit=5, cursor=page["next_cursor"], **{"metadata.shelf": "7"})
    assert [job["id"] for job in page["jobs"] + rest["jobs"]] == ids[::-1]


def test_cancel_is_honest_about_the_charge(here: Installation) -> None:
    """Before the upstream was asked nothing is charged; after it, it says so, and the result is not fetched."""
    here.run("pause")
    waiting = here.post("never sent")
    cancelled = here.client.post(f"/v1/jobs/{waiting['id']}/cancel").json()
    here.run("resume")
    assert (cancelled["status"], cancelled["charged"]) == ("cancelled", False)
    assert here.bill(waiting["id"]) == []
    sent = here.post("sent [[late=2]]")
    here.reaches(sent["id"], "processing")
    cancelled = here.client.post(f"/v1/jobs/{sent['id']}/cancel").json()
    assert (cancelled["status"], cancelled["charged"]) == ("cancelled", True)
    again = here.client.post(f"/v1/jobs/{sent['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_retry_makes_a_new_job_that_names_its_origin_once_per_key(here: Installation) -> None:
    """Only for a job that ended without images; repeated with the same key it is the same job."""
    failed = here.reaches(here.post("no luck [[fail=out of memory]]")["id"], "failed")
    assert failed["error"]["upstream_message"] == "out of memory"
    headers = {"Idempotency-Key": "retry-1"}
    retried = here.client.post(f"/v1/jobs/{failed['id']}/retry", headers=headers)
    assert (retried.status_code, retried.json()["retry_of"]) == (202, failed["id"])
    again = here.client.post(f"/v1/jobs/{failed['id']}/retry", headers=headers)
    assert again.json()["id"] == retried.json()["id"]
    done = here.reaches(here.post("luck")["id"], "succeeded")
    assert here.client.post(f"/v1/jobs/{done['id']}/retry").status_code == 409


@pytest.mark.parametrize(("action", "end", "posts"), [("resubmit", "succeeded", 2), ("fail", "failed", 1)])
def test_an_unknown_is_decided_by_hand(here: Installation, action: str, end: str, posts: int) -> None:
    """`resubmit` sends it once more; `fail` ends it; neither happens by itself."""
    job = here.post(f"nobody knows, {action} [[http-once=503]] [[no-callback]]")
    here.reaches(job["id"], "unknown")
    resolved = here.client.post(f"/v1/jobs/{job['id']}/resolve", json={"action": action})
    assert resolved.status_code == 200, resolved.text
    ended = here.reaches(job["id"], end)
    assert len(here.bill(ended["id"])) == posts
    assert here.client.post(f"/v1/jobs/{job['id']}/resolve", json={"action": action}).status_code == 409
    assert here.client.post(f"/v1/jobs/{job['id']}/resolve", json={"action": "hope"}).status_code == 422


def test_delete_removes_a_finished_job_and_its_images(here: Installation) -> None:
    """And refuses one that is open."""
    open_job = here.post("open [[late=5]]")
    assert here.client.delete(f"/v1/jobs/{open_job['id']}").status_code == 409
    job = here.reaches(here.post("gone")["id"], "succeeded")
    url = job["images"][0]["url"]
    assert httpx.get(url).status_code == 200
    assert here.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert here.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert httpx.get(url).status_code == 404
    assert not list((here.folder / "images").rglob(f"{job['id'].lower()}/*"))


def test_an_image_is_served_whole_in_part_and_as_it_was(here: Installation) -> None:
    """HEAD, Range, If-Range, If-None-Match; nosniff; the signed address needs no key and its signature counts."""
    job = here.reaches(here.post("an image")["id"], "succeeded")
    path = f"/v1/jobs/{job['id']}/images/0"
    whole = here.client.get(path)
    etag = whole.headers["etag"]
    assert whole.headers["x-content-type-options"] == "nosniff"
    head = here.client.head(path)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole.content)))
    part = here.client.get(path, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert here.client.get(path, headers={"Range": "bytes=4-7", "If-Range": etag}).status_code == 206
    assert here.client.get(path, headers={"Range": "bytes=4-7", "If-Range": '"old"'}).content == whole.content
    assert here.client.get(path, headers={"If-None-Match": "*"}).status_code == 304
    assert here.client.get(path, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
    assert here.client.get(path, headers={"Range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert whole.headers["cache-control"] == "private, no-cache", "a key may be revoked, a job removed"
    assert "sandbox" in whole.headers["content-security-policy"]
    url = job["images"][0]["url"]
    signed = httpx.get(url)
    assert signed.content == whole.content
    kept = re.fullmatch(r"private, max-age=(\d+), immutable", signed.headers["cache-control"])
    left = int(httpx.URL(url).params["expires"]) / 1000 - time.time()
    assert kept, signed.headers
    assert left - 60 < int(kept[1]) <= left + 2, "kept for longer than its address is valid"
    assert httpx.get(url.replace("/images/0", "/images/1")).status_code == 404
    assert httpx.get(url[:-2] + "xx").status_code == 404


@pytest.mark.parametrize(
    ("status", "state"), [(200, "delivered"), (204, "delivered"), (302, "pending"), (503, "pending"), (410, "gone")]
)
def test_what_a_receiver_answers_decides_what_follows(here: Installation, status: int, state: str) -> None:
    """2xx is delivered, a redirect is a failure, 410 ends it; each try is a row; the job's status stays."""
    with Receiver(status) as receiver:
        job = here.reaches(here.post(f"told {status}", webhook=receiver.url)["id"], "succeeded")

        def row() -> dict[str, Any] | None:
            rows = here.client.get(f"/v1/jobs/{job['id']}/deliveries").json()["deliveries"]
            return rows[0] if rows and rows[0]["attempts"] else None

        delivery = until(row, what="a try")
    assert (delivery["state"], delivery["attempts"][0]["status"]) == (state, status)
    assert (delivery["attempts"][0]["next_try_at"] is None) == (state != "pending")
    assert here.job(job["id"])["status"] == "succeeded"
