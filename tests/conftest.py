"""What every kind of test shares: a clean environment, a real Redis-protocol server, an order that wastes no core."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from redis import Redis
from xdist.scheduler import LoadFileScheduling

from api.cli.stack.redis_server import EmbeddedRedis, free_port
from config.broker import KEY_PREFIX
from config.settings import Settings
from tests.support.receiver import Receiver
from worker.app import app
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.store.messages import message_template

# no test is about the speed of the machine: on a busy one a call may take any time
hypothesis_settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("patient")

# those of the tests themselves stay: where an S3 server is that they may use
for name in [each for each in os.environ if each.startswith("DARKROOM_") and not each.startswith("DARKROOM_TEST_")]:
    del os.environ[name]


LONG_FIRST = (
    "test_chaos", "test_schema", "test_crashes", "test_kill_matrix", "test_images_in_a_bucket", "test_kill_at_writes",
    "test_proof", "test_telling", "test_flow", "test_state_machine",
)  # fmt: skip
"""Files that take longest, so that none of them is begun when all others are done."""
SHARED_OUT = {
    "test_stack", "test_celery_pool", "test_unacknowledged", "test_pool", "test_roles", "test_clock", "test_cluster",
}  # fmt: skip
"""Files whose tests share nothing and start much: each test goes to whoever is free. Of all others, the whole file."""
KINDS = ("e2e", "integration", "unit")
"""The end of a run is for what is short."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which tests are handed out."""

    def turn(item: pytest.Item) -> tuple[int, int]:
        name, kind = item.path.stem, item.path.parent.name
        return KINDS.index(kind) if kind in KINDS else len(KINDS), LONG_FIRST.index(
            name
        ) if name in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=turn)


class ByFile(LoadFileScheduling):
    """Hands out files, and of some files single tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if Path(file).stem in SHARED_OUT else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Tells xdist."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One real server for the whole run, with the durability of production."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The server's address, emptied."""
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    return redis_server.url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A plain client on the emptied server."""
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[JobStore]:
    """A job store on the emptied server."""
    lane = Lane(connect(redis_url, 5), 5)
    yield JobStore(lane, message_template(app), KEY_PREFIX, 60_000)
    await lane.aclose()


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings of a test installation: private addresses allowed, images in a temporary folder."""
    return Settings(
        _env_file=None,
        redis_url=redis_url,
        secret="a-secret-for-tests-0123456789",
        api_keys="acme:acme-key-0123,other:other-key-0123",
        upstream_key="sandbox",
        image_hosts="127.0.0.1",
        images_url=f"file://{tmp_path / 'images'}",
        allow_private_addresses=True,
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A caller's receiver."""
    with Receiver() as receiving:
        yield receiving
