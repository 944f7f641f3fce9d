"""What a POST may get instead of an answer: an HTTP error, or the page of a gateway or an edge server.

A gateway answers for the server *after* the server took the request. A CDN's edge says that it never reached the
server.
"""

from dataclasses import dataclass

from starlette.responses import HTMLResponse, Response

from worker.upstream.modelslab.sandbox import answers
from worker.upstream.modelslab.sandbox.faults import Faults
from worker.upstream.modelslab.sandbox.server import as_json

BUSY = 429
RETRY_AFTER_SECONDS = 3
PAGE = "<!doctype html><html><head><title>{status}</title></head><body><h1>{status}</h1><p>{text}</p></body></html>"
EDGE_HEADERS = {"server": "cloudflare", "cf-ray": "8f0000000000abcd-FRA", "cache-control": "no-store"}
LOGIN = "/login?next=/"


@dataclass(frozen=True, slots=True)
class Instead:
    """An HTTP status instead of an answer. `taken`: the request was taken and is billed nevertheless."""

    status: int
    taken: bool = False
    by: str = "server"
    """`server` answers in JSON, a `gateway` or an `edge` with an HTML page."""
    silent: bool = False
    """A 429 that does not say how long to wait."""


def what_comes_instead(faults: Faults, nth: int) -> Instead | None:
    """What the nth POST of a prompt (from 1) gets instead of an answer; None for a normal answer."""
    if nth <= faults.busy_silent:
        return Instead(BUSY, silent=True)
    if nth <= faults.busy_silent + faults.busy:
        return Instead(BUSY)
    if faults.http_once and nth == 1:
        return Instead(faults.http_once, faults.taken)
    if faults.once and nth > 1:
        return None
    if faults.edge:
        return Instead(faults.edge, by="edge")
    if faults.gateway:
        return Instead(faults.gateway, taken=True, by="gateway")
    return Instead(faults.http, faults.taken) if faults.http else None


def shown_instead(instead: Instead, limit: int) -> Response:
    """The HTTP response; `limit` is the number in the message of a full queue."""
    if instead.by == "edge":
        return HTMLResponse(_page(instead.status, "Web server is down"), instead.status, EDGE_HEADERS)
    if instead.by == "gateway":
        return gateway_page(instead.status)
    if instead.status == BUSY:
        return as_json(answers.queue_full(limit, None if instead.silent else RETRY_AFTER_SECONDS), BUSY)
    return as_json(answers.http_error(instead.status), instead.status)


def gateway_page(status: int) -> Response:
    """The page of a proxy, a firewall or a login that answers for the server; a redirect has its Location."""
    headers = {"location": LOGIN} if 300 <= status < 400 else {}
    return HTMLResponse(_page(status, "The requested URL was rejected by the gateway."), status, headers)


def _page(status: int, text: str) -> str:
    return PAGE.format(status=status, text=text)
