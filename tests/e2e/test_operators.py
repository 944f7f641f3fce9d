"""The operator's verbs against our real processes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.processes import Installation, until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the tests of this file."""
    with Installation(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


def test_the_doctor_finds_a_whole_installation_well(here: Installation) -> None:
    """Also its callback through the public address, and the upstream's key."""
    examined = here.run_as_process("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    lines = examined.stdout.splitlines()
    assert len(lines) >= 5
    notes = [line for line in lines if line.startswith("--   the provider, ModelsLab: ")]
    assert len(notes) == 4, "what the provider cannot do"
    assert all(line.startswith("ok ") for line in lines if line not in notes), examined.stdout


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("PUBLIC_URL", "http://127.0.0.1:1", "a callback comes back here: does not answer"),
        ("SECRET", "another-secret-0123456789", "does not know our secret"),
        ("UPSTREAM_KEY", "wrong-key-012345", "is refused"),
        ("IMAGES_URL", "file:///proc/nothing", "the image store can be written: does not answer"),
        ("REDIS_URL", "redis://127.0.0.1:1/0", "Redis keeps what it accepts: does not answer"),
    ],
)
def test_the_doctor_names_what_is_wrong(here: Installation, setting: str, value: str, words: str) -> None:
    """One thing is broken, and one line says it."""
    kept = here.settings[f"DARKROOM_{setting}"]
    here.settings[f"DARKROOM_{setting}"] = value
    try:
        examined = here.run("doctor")
    finally:
        here.settings[f"DARKROOM_{setting}"] = kept
    assert examined.returncode == (3 if setting == "REDIS_URL" else 1), "Redis away has a code of its own"
    assert words in examined.stdout


def test_the_audit_is_silent_on_a_whole_store_and_finds_and_mends_what_is_planted(here: Installation) -> None:
    """A lost due time, a message without a job, a place of a finished job, a wrong counter, missing bytes."""
    job = here.reaches(here.post("a ridge")["id"], "succeeded")
    waiting = here.post("a shore [[late=60]]")
    here.reaches(waiting["id"], "processing")
    assert here.run_as_process("audit").returncode == 0
    with Redis.from_url(here.redis.url) as redis:
        redis.zrem("due", waiting["id"])
        redis.hincrby("counts", "failed", 3)
        redis.hset("backlogs", "acme", 7)
        redis.zadd("places:nowhere", {job["id"]: 9e15})
        redis.sadd("upstreams", "nowhere")
    found = here.run("audit", "--json", "--repair")
    rules = {json.loads(line)["rule"] for line in found.stdout.splitlines()}
    assert found.returncode == 1
    assert rules == {"open, but nobody will look at it", "a finished job holds a place", "a counter is wrong",
                     "a backlog's size is wrong"}  # fmt: skip
    assert here.run("audit").returncode == 0
    next((here.folder / "images").rglob(f"{job['id'].lower()}/0-*.png")).write_bytes(b"rotten")
    rotten = here.run("audit")
    assert "succeeded without readable bytes" in rotten.stdout
    assert "darkroom_audit_findings 1.0" in here.client.get("/metrics").text


def test_kept_callbacks_can_be_decided_on_again(here: Installation) -> None:
    """Replay changes nothing that was decided rightly."""
    job = here.reaches(here.post("a brook")["id"], "succeeded")
    assert here.run("callbacks", job["id"]).returncode == 0
    until(lambda: b"inbox_read" in _row(here, job["id"]) and _row(here, job["id"])[b"inbox_read"] == b"1")
    assert here.job(job["id"])["timeline"] == job["timeline"]
    assert here.run("callbacks", "01M859N4P0ZK88SXJWVC1PBXXR").returncode == 1


def test_an_orphan_is_matched_to_its_job_once_that_exists(here: Installation) -> None:
    """Kept when nobody knew the job, decided on when somebody does."""
    job = here.reaches(here.post("a spring [[no-callback]] [[late=60]]")["id"], "processing")
    body = {"status": "failed", "id": job["attempts"][0]["request_id"], "message": "found later"}
    orphan = {"at": 1, "job": job["id"], "attempt": 1, "body": json.dumps(body)}
    with Redis.from_url(here.redis.url) as redis:
        redis.lpush("orphans", json.dumps(orphan))
    assert job["id"] in here.run("callbacks", "--orphans").stdout
    assert "1 matched" in here.run("callbacks", "--match").stdout
    assert here.reaches(job["id"], "failed")["error"]["upstream_message"] == "found later"


def test_jobs_past_their_retention_are_forgotten_with_their_images(here: Installation) -> None:
    """Record, indexes, files."""
    job = here.reaches(here.post("a moor")["id"], "succeeded")
    with Redis.from_url(here.redis.url) as redis:
        redis.zadd("finished", {job["id"]: 1})
    until(lambda: here.client.get(f"/v1/jobs/{job['id']}").status_code == 404, 60, "forgotten")
    assert not list(Path(here.folder / "images").rglob(f"{job['id'].lower()}/*"))


def _row(here: Installation, job_id: str) -> dict[bytes, bytes]:
    with Redis.from_url(here.redis.url) as redis:
        row: dict[bytes, bytes] = redis.hgetall(f"job:{job_id}")
        return row
