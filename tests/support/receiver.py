"""A caller's webhook receiver: real HTTP, verifies what it is told, can be made to refuse."""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keeps every delivery, by job, in the order in which they came. What is sent to /hang is never answered."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.told: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.hanging: list[str] = []
        self._over = threading.Event()
        self.requests: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path.startswith("/hang"):
                    outer.hanging.append(self.headers["webhook-id"])
                    outer._over.wait()
                    return
                outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                job = json.loads(body)
                if outer.status < 300:
                    outer.told[str(job["id"])].append(job)
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/told"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
