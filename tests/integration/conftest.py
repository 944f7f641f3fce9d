"""What several of these files need."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from api.app import create_app
from api.fast_path import FastPath
from config.settings import Settings
from tests.support.api_server import acmes_client
from worker.composition import delivery_store
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
