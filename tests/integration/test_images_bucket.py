"""The S3 image store against a real server that checks signatures, through a proxy that does what networks do."""

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest

from config.settings import Settings
from tests.support.object_store import TestBucket, running_bucket
from worker.health import Health
from worker.images import bucket as product
from worker.images.bucket import S3Images
from worker.images.chosen import open_store
from worker.images.store import NotStored, StoreError
from worker.store.jobs import JobStore

KEY = "acme/2026/11/24/01jxabc/0.png"
DATA = bytes(range(256)) * 3000
LARGE = bytes(range(251)) * 36_000
SHORT = {"max_retries": 2, "retry_timeout": timedelta(seconds=2), "backoff": product.RETRIES["backoff"]}
FAULTS = ["slow_down", "reset", "cut", "deaf", "flip"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBucket]:
    """One server and one bucket for this module."""
    with running_bucket(tmp_path_factory.mktemp("s3") / "server") as bucket:
        yield bucket


@pytest.fixture
def bucket(running: TestBucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestBucket]:
    """The bucket without faults, its keys in the environment as an operator has them."""
    for name, value in running.credentials.items():
        monkeypatch.setenv(name, value)
    running.proxy.seen.clear()
    yield running
    running.proxy.heal()


@pytest.fixture
def images(bucket: TestBucket, monkeypatch: pytest.MonkeyPatch) -> S3Images:
    """The product's store on it, as the settings open it; impatient, for tests."""
    monkeypatch.setattr(product, "TIMEOUT", "1s")
    monkeypatch.setattr(product, "RETRIES", SHORT)
    store = open_store(Settings(_env_file=None, **bucket.settings))  # type: ignore[arg-type]
    assert isinstance(store, S3Images)
    return store


def is_put(method: str, _path: str) -> bool:
    """Every request that brings bytes."""
    return method == "PUT"


def is_second_part(method: str, path: str) -> bool:
    """The second part of a large image."""
    return method == "PUT" and "partNumber=2" in path


def is_complete(method: str, path: str) -> bool:
    """The request that makes the parts one object."""
    return method == "POST" and "?uploadId=" in path


async def read(images: S3Images, key: str = KEY, start: int = 0, end: int | None = None) -> bytes:
    """The bytes as they flow."""
    stored = await images.open(key, start, end)
    return b"".join([chunk async for chunk in stored.chunks])


async def address(images: S3Images, key: str = KEY, seconds: int = 60) -> str:
    """A presigned address."""
    found = await images.address(key, seconds)
    assert found is not None
    return found


async def test_what_is_saved_is_read_again(images: S3Images, bucket: TestBucket) -> None:
    """Under the prefix of the settings, whole and in parts."""
    await images.save(KEY, DATA)
    assert bucket.objects() == [f"images/{KEY}"]
    assert (await images.open(KEY)).size == len(DATA)
    assert await read(images) == DATA


@pytest.mark.parametrize(("start", "end"), [(0, 1), (10, 20), (255_000, 600_000), (len(DATA) - 1, len(DATA)), (5, 5)])
async def test_a_part_is_read(images: S3Images, bucket: TestBucket, start: int, end: int) -> None:
    """Any part."""
    if not bucket.knows_ranges:
        pytest.skip("this server answers a Range with other bytes")
    await images.save(KEY, DATA)
    assert await read(images, KEY, start, end) == DATA[start:end]


async def test_saving_again_replaces_and_needs_no_condition(images: S3Images, bucket: TestBucket) -> None:
    """A job that is collected twice writes to the same place. Some servers ignore `If-None-Match`: it is never sent."""
    await images.save(KEY, b"first")
    await images.save(KEY, b"second")
    assert await read(images) == b"second"
    assert not {"if-none-match", "if-match"} & bucket.proxy.headers


async def test_many_savers_of_one_image_leave_it_whole(images: S3Images) -> None:
    """The same bytes to the same place at the same time."""
    await asyncio.gather(*(images.save(KEY, DATA) for _ in range(8)))
    assert await read(images) == DATA


async def test_deleting_removes_one_job_only(images: S3Images, bucket: TestBucket) -> None:
    """Every object of it, also twice, and also where there was nothing."""
    other = KEY.replace("01jxabc", "01jxabcd")
    for index in range(4):
        await images.save(KEY.replace("/0.", f"/{index}."), b"x")
    await images.save(KEY.replace("0.png", "job.json"), b"{}")
    await images.save(other, b"y")
    for _ in range(2):
        await images.delete(KEY.removesuffix("/0.png"))
        assert [key for key in bucket.objects() if "01jxabc" in key] == [f"images/{other}"]
    with pytest.raises(NotStored):
        await images.open(KEY)
    await images.delete(other.removesuffix("/0.png"))


@pytest.mark.parametrize("key", ["", "../x/0.png", "a/../../0.png", "a/%2e%2e/0.png", "A/0.png"])
async def test_a_key_that_is_not_ours_is_a_loud_mistake(images: S3Images, bucket: TestBucket, key: str) -> None:
    """Nothing is sent."""
    for call in (images.save(key, b"x"), images.open(key), images.address(key, 60), images.delete(key)):
        with pytest.raises(ValueError, match="not a key of ours"):
            await call
    assert bucket.proxy.seen == []


async def test_a_large_image_goes_up_in_parts(images: S3Images, bucket: TestBucket) -> None:
    """And is one object afterwards; what is not large goes up at once."""
    await images.save(KEY, LARGE)
    assert bucket.proxy.count("PUT", "partNumber=") == 2
    assert bucket.uploads() == 0
    assert sha256(await read(images)).digest() == sha256(LARGE).digest()
    bucket.proxy.seen.clear()
    await images.save(KEY, DATA)
    assert [method for method, _ in bucket.proxy.seen] == ["PUT", "GET"]


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_large_image_that_fails_in_the_middle_leaves_nothing(
    images: S3Images, bucket: TestBucket, kind: str
) -> None:
    """What was there stays, the upload is aborted, and the next try finds nothing in its way."""
    await images.save(KEY, b"before")
    fault = bucket.proxy.apply(kind, is_second_part)
    with pytest.raises(StoreError):
        await images.save(KEY, LARGE)
    assert fault.hits == (1 if kind == "flip" else 3)
    assert await read(images) == b"before"
    assert bucket.proxy.count("POST", "?uploads") == bucket.proxy.count("DELETE", "?uploadId=") == 1
    bucket.proxy.heal()
    await images.save(KEY, LARGE)
    assert (await images.open(KEY)).size == len(LARGE)


async def test_a_large_image_whose_last_answer_is_lost_is_there_or_not(images: S3Images, bucket: TestBucket) -> None:
    """The server may have made it one object; we do not say so, and the next try says it again."""
    bucket.proxy.apply("deaf", is_complete, times=1)
    try:
        await images.save(KEY, LARGE)
    except StoreError:
        await images.save(KEY, LARGE)
    assert (await images.open(KEY)).size == len(LARGE)


@pytest.mark.parametrize("kind", ["slow_down", "reset", "cut", "deaf"])
async def test_two_faults_in_a_row_are_got_over(images: S3Images, bucket: TestBucket, kind: str) -> None:
    """By asking again, with a pause."""
    fault = bucket.proxy.apply(kind, is_put, times=2)
    await images.save(KEY, DATA)
    assert fault.hits == 2
    assert await read(images) == DATA


@pytest.mark.parametrize("kind", ["slow_down", "reset", "cut", "deaf", "hang"])
async def test_a_fault_that_stays_is_a_store_error_in_bounded_time(
    images: S3Images, bucket: TestBucket, kind: str
) -> None:
    """Three requests at most: the job is tried again anyway."""
    fault = bucket.proxy.apply(kind, is_put)
    began = time.monotonic()
    with pytest.raises(StoreError):
        await images.save(KEY, DATA)
    assert time.monotonic() - began < 6
    assert fault.hits <= 3


async def test_bytes_that_change_on_the_way_are_refused_by_the_server(images: S3Images, bucket: TestBucket) -> None:
    """Each request's signature covers their hash, so no checksum of a server's own taste is needed."""
    bucket.proxy.apply("flip", is_put)
    await images.delete(KEY.removesuffix("/0.png"))
    with pytest.raises(StoreError):
        await images.save(KEY, DATA)
    assert bucket.objects(f"images/{KEY}") == []


async def test_an_answer_of_somebody_else_is_no_proof(images: S3Images, bucket: TestBucket) -> None:
    """A 200 to a put that nobody stored: the object is read back before it counts."""
    await images.delete(KEY.removesuffix("/0.png"))
    bucket.proxy.apply("lie", is_put)
    with pytest.raises(StoreError):
        await images.save(KEY, DATA)
    bucket.proxy.heal()
    await images.save(KEY, DATA)
    bucket.proxy.apply("lie", is_put)
    for other in (DATA + b"more", DATA[:-1], DATA[:-1] + b"x"):
        with pytest.raises(StoreError, match="other bytes"):
            await images.save(KEY, other)


async def test_parts_that_are_not_kept_are_brought_as_a_whole(images: S3Images, bucket: TestBucket) -> None:
    """Ceph's radosgw on its own database takes every part, and gives the last one back several times."""
    await images.save(KEY, LARGE[::-1])
    bucket.proxy.seen.clear()
    bucket.proxy.apply("lie", is_complete)
    await images.save(KEY, LARGE)
    assert bucket.proxy.count("PUT", "partNumber=") == 2
    assert bucket.proxy.count("PUT", "0.png") == 3
    assert await read(images) == LARGE


def ask(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """As anybody asks, without our client."""
    return httpx.request(method, url, headers=headers)


async def test_a_presigned_address_gives_the_bytes(images: S3Images, bucket: TestBucket) -> None:
    """To anybody who has it, as the type and by the name that our own server would use, in parts too."""
    await images.save(KEY, DATA)
    answer = ask(await address(images))
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="01JXABC-0.png"'
    if not bucket.knows_ranges:
        pytest.skip("this server answers a Range with other bytes")
    part = ask(await address(images), range="bytes=10-19")
    assert (part.status_code, part.content) == (206, DATA[10:20])


async def test_a_presigned_address_is_for_one_object_and_one_method(images: S3Images) -> None:
    """Changed in any part it is refused, and so is everything without one."""
    await images.save(KEY, DATA)
    await images.save(KEY.replace("/0.", "/1."), b"another")
    signed = await address(images)
    wrong = signed[:-1] + ("0" if signed[-1] != "0" else "1")
    longer = re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=86400", signed)
    assert longer != signed
    for changed in (wrong, longer, signed.replace("/0.png", "/1.png"), signed.partition("?")[0]):
        assert ask(changed).status_code in (400, 401, 403)
    assert ask(signed, "DELETE").status_code == 403
    assert ask(signed, "PUT").status_code == 403
    assert await read(images) == DATA


async def test_a_presigned_address_ends(images: S3Images) -> None:
    """After its seconds it is refused."""
    await images.save(KEY, DATA)
    signed = await address(images, seconds=1)
    await asyncio.sleep(2.1)
    assert ask(signed).status_code == 403


async def test_a_presigned_address_is_where_callers_reach_the_server(bucket: TestBucket) -> None:
    """Which may be another address than ours."""
    settings: Any = bucket.settings | {"s3_public_endpoint": "https://images.example.com"}
    signed = await S3Images(Settings(_env_file=None, **settings)).address(KEY, 60)
    assert str(signed).startswith(f"https://images.example.com/{bucket.name}/images/{KEY}?")


async def test_the_check_writes_and_knows_why_it_cannot(
    images: S3Images, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong credentials, no such bucket, busy, silent: each in words that an operator can act on."""
    await images.check()
    missing: Any = bucket.settings | {"images_url": "s3://darkroom-is-not-here/images"}
    with pytest.raises(StoreError, match="no such bucket"):
        await S3Images(Settings(_env_file=None, **missing)).check()
    bucket.proxy.apply("slow_down")
    with pytest.raises(StoreError, match=r"SlowDown|503"):
        await images.check()
    bucket.proxy.heal()
    monkeypatch.setattr(product, "CHECK_SECONDS", 0.3)
    bucket.proxy.apply("hang")
    with pytest.raises(StoreError, match="does not answer"):
        await images.check()
    bucket.proxy.heal()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match="refuses our credentials"):
        await S3Images(Settings(_env_file=None, **bucket.settings)).check()  # type: ignore[arg-type]


async def test_no_error_names_the_key_or_the_credentials(images: S3Images, bucket: TestBucket) -> None:
    """It goes into a log line and to /readyz."""
    bucket.proxy.apply("slow_down")
    for call in (images.save(KEY, DATA), images.open(KEY), images.delete("acme/x"), images.check()):
        with pytest.raises(StoreError) as caught:
            await call
        told = str(caught.value)
        assert not [each for each in ("acme", bucket.name, "127.0.0.1", *bucket.credentials.values()) if each in told]


async def test_health_notes_the_store_away_and_back(images: S3Images, bucket: TestBucket, store: JobStore) -> None:
    """In Redis, where every script that hands out work looks."""
    health = Health()
    bucket.proxy.apply("slow_down")
    await health.look(store, images)
    assert (await store.condition.results())[2]
    bucket.proxy.heal()
    await health.look(store, images)
    assert not (await store.condition.results())[2]
    assert health.images_away == ""
