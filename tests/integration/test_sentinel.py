"""Redis with Sentinel, real: the primary is killed under load, and everything goes on at the next one."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Installation, until
from tests.support.sentinel import Cluster
from worker.startup import check_redis
from worker.store.lane import Lane, RedisUnavailable, SentinelPool, connect

FAILOVER_SECONDS = 60.0
"""The sentinels need four; on a busy machine they may vote again and again."""
PATIENT_SECONDS = 8.0
"""For a command that is answered in milliseconds, and not about how long it takes."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for the tests of this file; each leaves it with a primary and two replicas."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def fail_over(cluster: Cluster) -> int:
    """Kills the primary; its port, once another has its place."""
    was = cluster.primary()
    cluster.kill(was)
    until(lambda: cluster.primary() != was, FAILOVER_SECONDS, "another primary")
    return was


def heal(cluster: Cluster, port: int) -> None:
    """The killed server comes back, as a replica at once: the sentinels would take ten seconds to make it one."""
    primary = cluster.primary()
    cluster.start(port, f"replicaof 127.0.0.1 {primary}")
    until(lambda: cluster.replicas(primary) == 2, FAILOVER_SECONDS, "two replicas again")


def post_through_a_failover(here: Installation, cluster: Cluster, jobs: int) -> list[str]:
    """Posts jobs and kills the primary in the middle. The ids that were accepted; the others were refused."""
    ids, was = [], cluster.primary()
    for number in range(jobs):
        if number == jobs // 2:
            cluster.kill(was)
        ids += _accepted(here)
    until(lambda: cluster.primary() != was, FAILOVER_SECONDS, "another primary")
    return ids


def test_a_killed_primary_loses_no_accepted_job_and_buys_nothing_twice(tmp_path: Path, cluster: Cluster) -> None:
    """API, workers and Celery go on at the new primary by themselves; the sandbox's bill is the witness."""
    with Installation(tmp_path, redis_url=cluster.url, redis_replicas="1") as here:
        before = here.reaches(here.post("before")["id"], "succeeded")
        was = cluster.primary()
        ids = post_through_a_failover(here, cluster, 60)
        ids += until(lambda: _accepted(here), FAILOVER_SECONDS, "accepting again")
        for job_id in ids:
            job = here.reaches(job_id, "succeeded", seconds=60)
            assert [row["taken"] for row in here.bill(job["id"])].count(True) == 1
        assert here.job(before["id"])["status"] == "succeeded"
        heal(cluster, was)
        until(lambda: (ready := here.ready()) and ready["workers"] >= 2, what="ready")
        assert "worker.died" not in here.log("worker")
        assert "password" not in "".join(here.log(name) for name in ("api", "worker"))


def _accepted(here: Installation) -> list[str]:
    """The id of a job, or nothing where the answer was an honest 503."""
    answer = here.client.post("/v1/jobs", json={"model_id": "m", "prompt": "a tower", "width": 64, "height": 64})
    assert answer.status_code in (202, 503), answer.text
    return [answer.json()["id"]] if answer.status_code == 202 else []


async def test_a_lane_finds_the_new_primary_and_says_unavailable_meanwhile(cluster: Cluster) -> None:
    """No error but RedisUnavailable, and no answer of the wrong server."""
    writer = Lane(connect(cluster.url, PATIENT_SECONDS), PATIENT_SECONDS, replicas=2)
    lane = Lane(connect(cluster.url, 1.5), 1.5)
    await writer.call("SET", "kept", "1")
    await writer.aclose()
    await _asked_until_it_answers(lane, "kept")
    was = fail_over(cluster)
    assert await _asked_until_it_answers(lane, "kept") == b"1"
    await lane.aclose()
    heal(cluster, was)


async def _asked_until_it_answers(lane: Lane, key: str) -> object:
    """A refused connection is answered at once: it is time that bounds this, not a number of tries."""
    async with asyncio.timeout(FAILOVER_SECONDS):
        while True:
            try:
                return await lane.call("GET", key)
            except RedisUnavailable:
                await asyncio.sleep(0.05)


async def test_a_write_counts_only_once_its_replicas_have_it(cluster: Cluster) -> None:
    """With one more replica than there are, every write is RedisUnavailable; with as many, it is answered."""
    for replicas, seconds, counts in ((2, PATIENT_SECONDS, True), (3, 1, False)):
        lane = Lane(connect(cluster.url, seconds), seconds, replicas)
        try:
            await lane.call("SET", "a", "1")
            counted = True
        except RedisUnavailable:
            counted = False
        await lane.aclose()
        assert counted is counts


async def test_a_sentinel_that_says_nothing_leaves_time_to_ask_the_others(cluster: Cluster) -> None:
    """The first of four takes the connection and is silent: the primary is found within one command's time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        login, _, rest = cluster.url.partition("@")
        lane = Lane(connect(f"{login}@127.0.0.1:{silent.getsockname()[1]},{rest}", 3), 3)
        assert await lane.call("PING") == b"PONG"
        await lane.aclose()


async def test_the_check_at_start_warns_of_a_primary_that_accepts_alone(cluster: Cluster) -> None:
    """min-replicas-to-write is what keeps a primary that is cut off from accepting what a failover forgets."""
    redis = connect(cluster.url, 2)
    assert isinstance(redis.connection_pool, SentinelPool)
    assert await check_redis(redis, 1) == ()
    await redis.config_set("min-replicas-to-write", 0)
    assert "min-replicas-to-write" in (await check_redis(redis, 1))[0]
    await redis.config_set("min-replicas-to-write", 1)
    await redis.aclose(close_connection_pool=True)
