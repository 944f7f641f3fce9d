"""Tenants and real processes: images that trickle are felt by nobody but the tenant that has them.

Setup: one installation, whose worker fetches the images of 48 jobs at once, 24 of one tenant. Two tenants have 24 jobs
each with an image that takes a minute. Proves: a third tenant's jobs end as soon as before.
"""

import time
from pathlib import Path

from redis import Redis

from tests.support.neighbours import Waits
from tests.support.processes import KEY, Installation, until

PER_TENANT = 24
FIRST_AT_ONCE = 16
"""Of a tenant of which nothing is known yet."""
HOSTILE = ("first", "second")
QUIET = 5


def accepted(here: Installation, tenant: str, prompt: str, many: int) -> list[str]:
    """Ids of jobs of that tenant."""
    request = {"model_id": "m", "prompt": prompt, "width": 64, "height": 64}
    headers = {"authorization": f"Bearer {tenant}-{KEY}"}
    answer = here.client.post("/v1/jobs/batch", json=[request] * many, headers=headers)
    assert answer.status_code == 202, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def quiet_waits(here: Installation) -> list[float]:
    """Seconds from accept to the end of each job, one after the other."""
    waits = []
    for _ in range(QUIET):
        began = time.monotonic()
        here.reaches(here.post()["id"], "succeeded")
        waits.append(time.monotonic() - began)
    return waits


def collected(here: Installation) -> int:
    """The hostile tenants' jobs whose images are being fetched."""
    with Redis.from_url(here.redis.url) as redis:
        return sum(redis.zcard(f"collecting:{tenant}") for tenant in HOSTILE)


def test_images_that_trickle_delay_no_other_tenant(tmp_path: Path) -> None:
    keys = ",".join([f"acme:{KEY}", *(f"{each}:{each}-{KEY}" for each in HOSTILE)])
    bounds = {"collect_concurrency": str(2 * PER_TENANT), "collect_per_tenant": str(PER_TENANT)}
    with Installation(tmp_path, api_keys=keys, upstream_max_in_flight="200", sandbox_seconds="0.05", **bounds) as here:
        calm = quiet_waits(here)
        for tenant in HOSTILE:
            accepted(here, tenant, "a tap [[slow-drip=60]]", PER_TENANT)
        until(lambda: collected(here) >= 2 * FIRST_AT_ONCE, what="their images trickle")
        Waits(calm, quiet_waits(here)).check()
        here.kill("worker")
