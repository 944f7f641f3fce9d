"""Redis in cluster mode: one shard does, several are refused at start."""

from pathlib import Path

import pytest

from tests.e2e.test_startup import started
from tests.support.cluster import cluster
from tests.support.processes import Installation


def test_a_cluster_of_one_shard_is_a_redis_as_any_other(tmp_path: Path) -> None:
    """Accepted, bought, called back or polled, collected, deleted: the scripts, and Celery's own keys."""
    with cluster(tmp_path / "cluster", 1) as node:
        here = Installation(tmp_path, redis_url=node.url)
        here.redis.start = lambda: None  # type: ignore[method-assign]
        with here:
            here.post("held up [[delay=60]]")
            job = here.post("a harbour", samples=2)
            done = here.reaches(job["id"], "succeeded")
            assert len(done["images"]) == 2
            polled = here.post("a silence [[no-callback]]")
            assert here.reaches(polled["id"], "succeeded")["completed_via"] == "poll"
            assert here.run("audit").returncode == 0
            assert here.client.delete(f"/v1/jobs/{job['id']}").status_code == 204
            assert here.client.get("/readyz").json()["status"] == "ready"
            assert "CROSSSLOT" not in here.log("worker") + here.log("api")


@pytest.mark.parametrize("module", ["api", "worker"])
def test_a_cluster_of_several_shards_is_refused_at_start(module: str, tmp_path: Path) -> None:
    """In one sentence."""
    with cluster(tmp_path, 2) as node:
        ended = started(module, DARKROOM_REDIS_URL=node.url)
    assert ended.returncode == 2
    assert "this Redis is a cluster of 2 shards" in ended.stderr
