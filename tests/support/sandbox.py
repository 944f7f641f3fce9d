"""The sandbox upstream in this process, and somebody who is called back: both on real sockets, on free ports."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any, NamedTuple

from config.settings import Settings
from worker.upstream.chosen import PROVIDER
from worker.upstream.chosen_sandbox import build_server, create_sandbox

STOP_SECONDS = 10
CALLBACK_SECONDS = 10


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[str]:
    """A sandbox that listens; yields its address. Works 50 ms on a request unless told otherwise."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    chosen = {"sandbox_seconds": 0.05, "sandbox_public_url": url} | settings
    server = build_server(create_sandbox(Settings(_env_file=None, **chosen)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        assert not thread.is_alive(), "the sandbox did not stop"


class Told(NamedTuple):
    """One callback."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class CalledBack:
    """Somebody with an address for callbacks."""

    def __init__(self, url: str, calls: "Queue[Told]") -> None:
        self.url = url
        self._calls = calls

    def next(self) -> dict[str, Any]:
        """The next callback's body; fails if none comes in time."""
        return self.next_whole().body

    def next_with_path(self) -> tuple[str, dict[str, Any]]:
        """The next callback's path and body; fails if none comes in time."""
        told = self.next_whole()
        return told.path, told.body

    def next_whole(self) -> Told:
        """The next callback with its headers; fails if none comes in time."""
        return self._calls.get(timeout=CALLBACK_SECONDS)

    @property
    def waiting(self) -> int:
        """Callbacks that came and were not read yet."""
        return self._calls.qsize()


@contextmanager
def called_back() -> Iterator[CalledBack]:
    """A receiver of callbacks on a free port."""
    calls: Queue[Told] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            calls.put(Told(self.path, dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield CalledBack(f"http://127.0.0.1:{server.server_port}{PROVIDER.callback_path}token-0123456789", calls)
    finally:
        server.shutdown()
        thread.join(STOP_SECONDS)
        server.server_close()
