"""The API in a thread of this process, on a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn

from api.app import create_app
from api.fast_path import Express
from config.settings import Settings

STOP_SECONDS = 10


@contextmanager
def running_api(settings: Settings) -> Iterator[httpx.Client]:
    """An API that listens on a free port; yields a client of it that sends no key."""
    config = uvicorn.Config(
        Express(create_app(settings), settings.max_body_bytes), port=0, log_config=None, http="httptools", lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client
    server.should_exit = True
    thread.join(STOP_SECONDS)
    assert not thread.is_alive(), "the API did not stop"
