"""What several of these files need: the application on a real socket, by both ways in."""

from collections.abc import Iterator

import httpx
import pytest

from api.app import create_app
from api.fast_path import Express
from config.settings import Settings
from tests.support.api_server import acmes_client


@pytest.fixture(params=["express", "framework"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[httpx.Client]:
    """A client of the same application both ways in: what one refuses the other must refuse alike."""
    app = create_app(settings)
    with acmes_client(Express(app, settings.max_body_bytes) if request.param == "express" else app) as client:
        yield client
