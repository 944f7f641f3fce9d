"""The whole product with its images in a real S3 server: handed out, deleted, and the server away and back."""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.support.object_store import TestBucket, running_bucket
from tests.support.processes import Installation, until

AWAY = ["slow_down", "reset", "hang"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBucket]:
    """One bucket for this module."""
    with running_bucket(tmp_path_factory.mktemp("s3") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def installation(bucket: TestBucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation that keeps its images there, with the usual variables for its keys."""
    installation = Installation(tmp_path_factory.mktemp("installation"), **bucket.settings)
    installation.settings |= bucket.credentials
    with installation:
        yield installation


@pytest.fixture
def here(installation: Installation, bucket: TestBucket) -> Iterator[Installation]:
    """The installation; whatever a test did to its store is undone."""
    yield installation
    bucket.proxy.heal()
    until(lambda: installation.ready() and not noted_away(installation), what="ready again")


def folder_of(bucket: TestBucket, job_id: str) -> list[str]:
    """Names of all objects of one job."""
    return [key.rpartition("/")[2] for key in bucket.objects("images/acme") if f"/{job_id.lower()}/" in key]


def names_of(job: dict[str, Any]) -> list[str]:
    """What the bucket's objects are called, by the hashes on the record."""
    return [f"{image['index']}-{image['sha256'][:12]}.png" for image in job["images"]]


def noted_away(here: Installation) -> bool:
    """Whether a worker has said in Redis, for all of them, that the store is away."""
    with Redis.from_url(here.redis.url) as redis:
        return bool(redis.exists("store:away"))


def redirected(here: Installation, job: dict[str, Any], index: int = 0) -> str:
    """The presigned address that an image's own address leads to, without an API key."""
    answer = httpx.get(job["images"][index]["url"])
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "no-store"
    address = answer.headers["location"]
    assert here.settings["DARKROOM_PUBLIC_URL"] not in address
    return str(address)


def test_images_are_handed_out_by_the_bucket_itself(here: Installation, bucket: TestBucket) -> None:
    """Bytes, type and name as ours; refused when tampered with; and the manifest lies beside them."""
    job = here.reaches(here.post("two cats", samples=2)["id"], "succeeded")
    assert folder_of(bucket, job["id"]) == [*names_of(job), "job.json"]
    for image in job["images"]:
        answer = httpx.get(redirected(here, job, image["index"]))
        assert (answer.status_code, hashlib.sha256(answer.content).hexdigest()) == (200, image["sha256"])
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"] == f'inline; filename="{job["id"]}-{image["index"]}.png"'
    address = redirected(here, job)
    assert httpx.get(address.replace(*names_of(job))).status_code == 403
    assert httpx.get(address.partition("?")[0]).status_code in (400, 401, 403)
    key = next(key for key in bucket.objects("images/acme") if key.endswith(f"{job['id'].lower()}/job.json"))
    manifest = json.loads(httpx.get(bucket.signed("GET", key)).content)
    assert [each["sha256"] for each in manifest["images"]] == [each["sha256"] for each in job["images"]]


def test_head_and_range_of_an_image_in_the_bucket(here: Installation, bucket: TestBucket) -> None:
    """HEAD is answered by us, because an address is signed for one method; Range goes along with the redirect."""
    job = here.reaches(here.post("a cat")["id"], "succeeded")
    path, image = f"/v1/jobs/{job['id']}/images/0", job["images"][0]
    head = here.client.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(image["bytes"]))
    assert head.headers["etag"] == f'"{image["sha256"]}"'
    assert here.client.get(path, headers={"if-none-match": head.headers["etag"]}).status_code == 304
    whole = httpx.get(redirected(here, job)).content
    if not bucket.knows_ranges:
        pytest.skip("this server answers a Range with other bytes")
    part = httpx.get(image["url"], headers={"range": "bytes=5-99"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, whole[5:100])


def test_deleting_a_job_empties_its_folder(here: Installation, bucket: TestBucket) -> None:
    """And an address that was given out before leads nowhere."""
    job = here.reaches(here.post("two dogs", samples=2)["id"], "succeeded")
    address = redirected(here, job)
    assert here.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert folder_of(bucket, job["id"]) == []
    assert httpx.get(address).status_code == 404


@pytest.mark.parametrize("kind", AWAY)
def test_nothing_is_bought_while_the_bucket_is_away(here: Installation, bucket: TestBucket, kind: str) -> None:
    """Accepted, held, and done by itself once it is back; bought once."""
    bucket.proxy.apply(kind)
    until(lambda: noted_away(here), what="store:away")
    job = here.post("later")
    until(lambda: here.ready() is None, what="not ready, which is found out once a second")
    until(lambda: bucket.proxy.seen, what="a look")
    held = here.job(job["id"])
    assert (held["status"], here.bill(job["id"])) == ("queued", [])
    assert "S3 store" in held["explain"]
    bucket.proxy.heal()
    done = here.reaches(job["id"], "succeeded")
    assert len(here.bill(job["id"])) == 1
    assert folder_of(bucket, done["id"]) == [*names_of(done), "job.json"]


def test_a_bucket_that_goes_away_while_images_come_loses_none(here: Installation, bucket: TestBucket) -> None:
    """Bought already: the job waits in `storing`, is collected when the bucket is back, and not bought again."""
    job = here.post("on its way", samples=2)
    bucket.proxy.apply("slow_down", lambda method, path: method == "PUT" and "/acme/" in path)
    here.reaches(job["id"], "storing")
    until(lambda: "image.not_kept" in here.log("worker"), what="a refused put")
    assert here.job(job["id"])["status"] == "storing"
    bucket.proxy.heal()
    done = here.reaches(job["id"], "succeeded", seconds=60)
    assert len(done["images"]) == 2
    assert len(here.bill(job["id"])) == 1


def test_a_bucket_that_is_silent_for_long_ends_no_job(here: Installation, bucket: TestBucket) -> None:
    """A put that hangs outlasts many leases; the worker at it is slow, not dead, and the image is paid for."""
    job = here.post("[[callback=1]] waits for its shelf")
    bucket.proxy.apply("hang", lambda method, path: method == "PUT" and "/acme/" in path)
    here.reaches(job["id"], "storing")
    leases = 6 * float(here.settings["DARKROOM_LEASE_SECONDS"])
    ends = time.monotonic() + leases
    while time.monotonic() < ends:
        assert here.job(job["id"])["status"] == "storing"
        time.sleep(0.5)
    bucket.proxy.heal()
    assert here.reaches(job["id"], "succeeded")["late"] is False
    assert len(here.bill(job["id"])) == 1


def test_a_worker_with_wrong_credentials_buys_nothing(here: Installation, bucket: TestBucket) -> None:
    """Its own look finds it out before the first job; with the right ones the job ends."""
    here.stop("worker")
    right = here.settings["AWS_SECRET_ACCESS_KEY"]
    here.settings["AWS_SECRET_ACCESS_KEY"] = "wrong"
    here.start("worker")
    here.settings["AWS_SECRET_ACCESS_KEY"] = right
    until(lambda: noted_away(here), what="store:away")
    job = here.post("not yet")
    until(lambda: "refuses our credentials" in here.log("worker"), what="the reason in the log")
    assert (here.job(job["id"])["status"], here.bill(job["id"])) == ("queued", [])
    here.stop("worker")
    here.start("worker")
    here.reaches(job["id"], "succeeded")
    assert len(here.bill(job["id"])) == 1
    assert right not in here.log("worker")
