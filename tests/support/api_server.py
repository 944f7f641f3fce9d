"""The API in a thread of this process, on a real socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from api.app import create_app
from api.fast_path import FastPath
from config.settings import Settings

STOP_SECONDS = 10
ACME = {"authorization": "Bearer acme-key-0123"}


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """An ASGI application that listens on a free port; yields a client of it that sends no key."""
    config = uvicorn.Config(app, port=0, log_config=None, http="httptools", lifespan="on")
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


@contextmanager
def running_api(settings: Settings) -> Iterator[httpx.Client]:
    """The API as it is served, with both ways in; yields a client of it that sends no key."""
    with serving(FastPath(create_app(settings), settings.max_body_bytes)) as client:
        yield client


@contextmanager
def acmes_client(app: Any) -> Iterator[httpx.Client]:
    """The same of any application, for a client that sends acme's key."""
    with serving(app) as client:
        client.headers.update(ACME)
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem's members, of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert (content["code"], content["status"]) == (code, status)
    return content
