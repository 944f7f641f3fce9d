"""What several of these files need, and what every one is asked: does it leave in Redis only what goes by itself?"""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from redis import Redis

from api.app import create_app
from api.fast_path import FastPath
from config.settings import Settings
from tests.support.api_server import acmes_client
from tests.support.engine import Engine, running_engine
from tests.support.key_leaks import leaks
from worker.composition import delivery_store
from worker.operate.flow import FlowControl
from worker.store.jobs import JobStore
from worker.store.lane import Lane, connect
from worker.telling.deliveries import DeliveryStore

CAPS = {"tell_per_host": 2, "tell_per_tenant": 3, "tell_per_shared_host": 4}


@pytest.fixture(params=["fast path", "framework"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[httpx.Client]:
    """A client of the same application both ways in: what one refuses the other must refuse alike."""
    app = create_app(settings)
    with acmes_client(FastPath(app, settings.max_body_bytes) if request.param == "fast path" else app) as client:
        yield client


@pytest.fixture
async def deliveries(settings: Settings) -> AsyncIterator[DeliveryStore]:
    """Two places per tenant at a host, three per tenant, four per host."""
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    yield delivery_store(settings.model_copy(update=CAPS), lane)
    await lane.aclose()


@pytest.fixture(autouse=True)
def no_key_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test on the shared server; one that writes keys of its own says why: `leaves_keys(reason)`."""
    if "redis_url" not in request.fixturenames or request.node.get_closest_marker("leaves_keys"):
        yield
        return
    url = request.getfixturevalue("redis_url")
    yield
    with Redis.from_url(url) as redis:
        left = leaks(redis)
    if left:
        pytest.fail("left in Redis:\n" + "\n".join(left[:20]), pytrace=False)


@pytest.fixture
def flow(store: JobStore) -> FlowControl:
    """An operator's hand on the queue."""
    return FlowControl(store._lane, store)


@pytest.fixture
async def engine(settings: Settings, redis: Redis) -> AsyncIterator[Engine]:
    """An engine over an upstream that answers at once."""
    async with running_engine(settings, redis) as made:
        yield made
