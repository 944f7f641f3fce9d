"""Redis is judged with every new connection and again from time to time: another server may stand behind an address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from structlog.testing import capture_logs

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.settings import Settings
from tests.support.api_server import running_api
from tests.support.processes import until
from worker.store import gate
from worker.store.connection import connect
from worker.store.lane import Lane, RedisUnfit

pytestmark = pytest.mark.leaves_keys("its keys are of no job: what is asked is which server they are written to")
TIMEOUT = 2.0
REQUEST = {"model_id": "m", "prompt": "p"}


class Swapped:
    """Two servers of one address and password: the second one evicts and does not persist."""

    def __init__(self, folder: Path) -> None:
        self.good = EmbeddedRedis(folder / "good", free_port(), password="a-password")
        self.url = self.good.url
        self.bad = EmbeddedRedis(folder / "bad", self.good.port, password="a-password")

    def swap(self) -> None:
        """The good one is gone and the bad one stands there."""
        self.good.kill()
        self.bad.start()
        with Redis.from_url(self.url) as redis:
            redis.config_set("appendonly", "no")
            redis.config_set("maxmemory-policy", "allkeys-lru")


@pytest.fixture
def swapped(tmp_path: Path) -> Iterator[Swapped]:
    """The good one runs."""
    servers = Swapped(tmp_path)
    servers.good.start()
    yield servers
    servers.good.stop()
    servers.bad.stop()


async def test_a_server_that_evicts_is_not_spoken_to(swapped: Swapped) -> None:
    """It came in the place of a good one: nothing is written there, and it is said once why."""
    lane = Lane(connect(swapped.url, TIMEOUT), TIMEOUT)
    await lane.write("SET", "before", "1")
    swapped.swap()
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RedisUnfit, match=r"would evict jobs .* set maxmemory-policy to noeviction"):
                await written(lane)
    assert [each["event"] for each in logs] == ["redis.fitness"]
    with Redis.from_url(swapped.url) as redis:
        assert redis.keys() == []
        redis.config_set("maxmemory-policy", "noeviction")
    assert await written(lane) == b"OK"
    assert "does not persist" in lane.verdict.warnings[0]
    await lane.aclose()


async def written(lane: Lane) -> object:
    """A write's answer; a connection to the server that is gone is found closed first."""
    try:
        return await lane.write("SET", "after", "1")
    except RedisUnfit:
        raise
    except Exception:
        return await lane.write("SET", "after", "1")


async def test_a_server_that_is_configured_anew_is_seen(
    redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a new connection, too."""
    monkeypatch.setattr(gate, "LOOK_AGAIN_MS", 0)
    lane = Lane(connect(redis_url, TIMEOUT), TIMEOUT)
    assert await lane.write("SET", "a", "1") == b"OK"
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(RedisUnfit):
            await lane.write("SET", "a", "2")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert redis.get("a") == b"1"
    await lane.aclose()


def test_the_door_says_why_it_accepts_nothing(swapped: Swapped, settings: Settings) -> None:
    """503 with the sentence, on an accept and on /readyz; another server that is well but forgets is a warning."""
    with_it = settings.model_copy(update={"redis_url": type(settings.redis_url)(swapped.url)})
    with running_api(with_it) as client:
        assert client.get("/readyz").json()["durability"] == "ok"
        swapped.swap()
        # readiness is found out once a second
        until(lambda: "would evict jobs" in (now := client.get("/readyz")).text and now.status_code == 503, 10, "unfit")
        refused = client.post("/v1/jobs", json=REQUEST, headers={"authorization": "Bearer acme-key-0123"})
        assert refused.status_code == 503
        assert "set maxmemory-policy to noeviction" in refused.json()["detail"]
        with Redis.from_url(swapped.url) as redis:
            assert redis.dbsize() == 0
            redis.config_set("maxmemory-policy", "noeviction")
        ready = until(lambda: (now := client.get("/readyz")).is_success and now, 10, "ready again")
        assert ready.json()["redis"] == "ok"
        assert "does not persist" in ready.json()["durability"]
