"""What waits for the outside shares nothing with what decides: slow images stop no deadline, and nobody else's job.

Setup: our real processes with their usual places. Timeline: a tenant's images trickle for longer than the test lasts,
then another tenant asks. Proves: every job ends, tenants do not wait for one another.
"""

import time
from pathlib import Path

from celery import Celery
from redis import Redis

from config.broker import celery_options
from tests.support.processes import KEY, Installation, until
from worker.store.keys import CELERY

SLOW_JOBS = 70
CALM_SECONDS = 15.0
"""An ordinary job takes about one; the slow images hold on for a hundred."""


def test_slow_images_stop_neither_a_deadline_nor_another_tenants_job(tmp_path: Path) -> None:
    """70 jobs whose images trickle: a deadline of five seconds is kept, an ordinary job takes its usual time."""
    with Installation(tmp_path, upstream_max_in_flight="1000") as here:
        body = {"model_id": "m", "prompt": "a slow stream [[slow-drip=100]]", "width": 64, "height": 64}
        assert here.client.post("/v1/jobs/batch", json=[body] * SLOW_JOBS).status_code == 202
        until(lambda: storing(here) == SLOW_JOBS, 60, "every slow image under way")
        here.client.headers["authorization"] = f"Bearer other-{KEY}"
        asked_at = time.monotonic()
        short = here.post("a clock [[delay=60]]", deadline_seconds=5)["id"]
        here.reaches(here.post("a calm sea")["id"], "succeeded", seconds=CALM_SECONDS)
        here.reaches(short, "expired", seconds=CALM_SECONDS)
        took = time.monotonic() - asked_at
        for name in list(here.processes):
            here.kill(name)  # nobody waits a hundred seconds for these images
    assert took < CALM_SECONDS


def test_one_tenants_slow_images_never_take_every_place_for_collecting(tmp_path: Path) -> None:
    """Fewer places than its jobs: it gets some of them, the rest of its jobs wait without one, in line."""
    few = {"collect_concurrency": "16", "collect_per_tenant": "12"}
    with Installation(tmp_path, upstream_max_in_flight="1000", **few) as here, Redis.from_url(here.redis.url) as redis:
        body = {"model_id": "m", "prompt": "a slow stream [[slow-drip=100]]", "width": 64, "height": 64}
        assert here.client.post("/v1/jobs/batch", json=[body] * SLOW_JOBS).status_code == 202
        until(lambda: redis.zcard("line:collecting:acme") == SLOW_JOBS - 12, 60, "those in line")
        here.client.headers["authorization"] = f"Bearer other-{KEY}"
        short = here.post("a clock [[delay=60]]", deadline_seconds=5)["id"]
        here.reaches(here.post("a calm sea")["id"], "succeeded", seconds=CALM_SECONDS)
        here.reaches(short, "expired", seconds=CALM_SECONDS)
        assert redis.zcard("collecting:acme") == 12
        for name in list(here.processes):
            here.kill(name)


def test_a_message_of_the_version_before_is_handed_over(tmp_path: Path) -> None:
    """It stands in `settle`, for images: the process that keeps deadlines downloads none, and none is lost."""
    with Installation(tmp_path, image_hosts="127.0.0.1") as here, Redis.from_url(here.redis.url) as redis:
        here.stop("worker")
        for role in ("submit", "settle"):
            here.start("worker", role, name=role)
        job = here.reaches(here.post("a letter in the old box")["id"], "storing")
        redis.delete(CELERY("collect"))
        old = Celery("the version before")
        old.conf.update(celery_options(here.redis.url))
        old.send_task("darkroom.collect", args=(job["id"],), queue="settle", ignore_result=True)
        until(lambda: redis.llen(CELERY("settle")) == 0 and redis.llen(CELERY("collect")), what="handed over")
        assert here.job(job["id"])["status"] == "storing"
        here.start("worker", "collect", name="collect")
        here.reaches(job["id"], "succeeded")


def storing(here: Installation) -> int:
    """How many jobs are being collected."""
    lines = here.client.get("/metrics").text.splitlines()
    return next(int(float(line.split()[-1])) for line in lines if line.startswith('darkroom_jobs{status="storing"} '))
