"""A real HTTP proxy before a real server, that does to chosen requests what networks and busy servers do."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

STOP_SECONDS = 10
LONGEST_HANG_SECONDS = 60
SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
LIE = b"<CompleteMultipartUploadResult><ETag>a-lie</ETag></CompleteMultipartUploadResult>"
HOP_HEADERS = {"connection", "transfer-encoding", "content-length", "keep-alive"}

Matches = Callable[[str, str], bool]
"""Whether a fault is meant for a request, by its method and its path with the query."""


class Fault:
    """What happens to the next `times` requests that match.

    `slow_down`, `reset` and `hang` keep them from the server; `lie` does too, and says 200. `cut` and `flip` harm them
    on their way; `deaf` lets them through and resets the answer.
    """

    def __init__(self, kind: str, matches: Matches = lambda _method, _path: True, times: int = 1_000_000) -> None:
        self.kind, self.matches, self.left = kind, matches, times
        self.hits = 0


class FaultyProxy:
    """Forwards everything, notes it, and applies the faults that were asked for."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.headers: set[str] = set()
        self.url = ""
        self.release = threading.Event()
        self._lock = threading.Lock()

    def apply(self, kind: str, matches: Matches = lambda _method, _path: True, times: int = 1_000_000) -> Fault:
        """From now on, until `heal`."""
        fault = Fault(kind, matches, times)
        self.release.clear()
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Everything goes through again; what hangs ends without an answer."""
        self.faults.clear()
        self.release.set()

    def count(self, method: str, part: str = "") -> int:
        """How many requests of that method had this in their path or query."""
        return sum(1 for each, path in self.seen if each == method and part in path)

    def chosen(self, method: str, path: str) -> str:
        """What to do with this request."""
        with self._lock:
            self.seen.append((method, path))
            for fault in self.faults:
                if fault.left and fault.matches(method, path):
                    fault.left, fault.hits = fault.left - 1, fault.hits + 1
                    return fault.kind
        return ""


@contextmanager
def faulty_proxy(server: str) -> Iterator[FaultyProxy]:
    """A proxy on a free port before that server."""
    proxy = FaultyProxy(server)

    class Handler(_Handler):
        """Handles for this proxy."""

        front = proxy

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.heal()
        listener.shutdown()
        thread.join(STOP_SECONDS)
        listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: FaultyProxy

    def _handle(self) -> None:
        self.front.headers |= {name.lower() for name in self.headers}
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = self.front.chosen(self.command, self.path)
        if kind == "slow_down":
            self._answer(503, {"content-type": "application/xml"}, SLOW_DOWN)
        elif kind == "lie":
            self._answer(200, {"etag": '"a-lie"'}, LIE if self.command == "POST" else b"")
        elif kind == "reset":
            self._reset()
        elif kind == "hang":
            self.front.release.wait(LONGEST_HANG_SECONDS)
            self._reset()
        else:
            self._forward(kind, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _forward(self, kind: str, body: bytes) -> None:
        """`cut` gives the server half of the body; `flip` one wrong bit; `deaf` never hands its answer on."""
        if kind == "flip" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        server = HTTPConnection(self.front.server, timeout=30)
        try:
            self._send(server, body, len(body) // 2 if kind == "cut" else len(body))
            if kind == "cut":
                return self._reset()
            answer = server.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            return self._reset()
        finally:
            server.close()
        if kind == "deaf":
            return self._reset()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS}
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        return self._answer(answer.status, headers, data, length)

    def _send(self, server: HTTPConnection, body: bytes, most: int) -> None:
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "expect"):
                server.putheader(name, value)
        server.endheaders()
        server.send(body[:most])

    def _answer(self, status: int, headers: dict[str, str], data: bytes, length: str | None = None) -> None:
        with suppress(OSError):  # whoever asked may be gone
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    def _reset(self) -> None:
        """RST instead of FIN."""
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
        self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """Quiet."""
