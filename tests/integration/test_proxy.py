"""The shipped reverse proxy, real: nginx with deploy/proxy/nginx.conf in front of our processes.

Skipped where there is no nginx; `.ci/run` installs it.
"""

import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread

import httpx
import pytest

from tests.support.processes import KEY, Installation, until
from tests.support.shipped_proxy import ShippedProxy

pytestmark = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("openssl")),
    reason="nginx and openssl: apt-get install nginx-light openssl",
)
BEARER = {"authorization": f"Bearer {KEY}"}
JOB = {"model_id": "m", "prompt": "a cat", "width": 64, "height": 64}


@dataclass
class Front:
    """Proxy, processes behind it, a caller's client; `ended_after`: seconds until a head without end was given up."""

    proxy: ShippedProxy
    here: Installation
    caller: httpx.Client
    ended_after: float = 0.0

    def raw(self, head: bytes) -> bytes:
        """What is answered to these bytes, until the connection ends or says nothing for a while."""
        with self.connection() as connection:
            connection.sendall(head)
            answer = b""
            try:
                while part := connection.recv(65_536):
                    answer += part
            except TimeoutError:
                pass
        return answer

    def connection(self) -> socket.socket:
        """With TLS made."""
        plain = socket.create_connection(("127.0.0.1", self.proxy.port), 2)
        return self.proxy.trusted.wrap_socket(plain, server_hostname="localhost")

    def drip(self) -> None:
        """Sends a head byte by byte until the connection is ended."""
        with self.connection() as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx-slow: ")
            begun = time.monotonic()
            connection.settimeout(0.2)
            while time.monotonic() - begun < 20:
                try:
                    connection.sendall(b"x")
                    if connection.recv(1000) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            self.ended_after = time.monotonic() - begun


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One for the file. The upstream's callbacks come through the proxy as well."""
    folder = tmp_path_factory.mktemp("front")
    here = Installation(folder, allowed_hosts="localhost,127.0.0.1")
    proxy = ShippedProxy(folder / "proxy", here.api_port)
    here.settings["DARKROOM_PUBLIC_URL"] = f"http://127.0.0.1:{proxy.plain_port}"
    proxy.start()
    with here, httpx.Client(base_url=proxy.url, headers=BEARER, verify=proxy.trusted, timeout=20) as caller:
        made = Front(proxy, here, caller)
        dripping = Thread(target=made.drip)
        dripping.start()
        yield made
        dripping.join()
        proxy.stop()


def test_a_job_its_events_and_its_callback_come_through(front: Front) -> None:
    """Events as they happen, not when the stream ends; the job is finished by the callback."""
    job = front.caller.post("/v1/jobs", json=JOB).json()
    came = {}
    with front.caller.stream("GET", f"/v1/jobs/{job['id']}/events") as events:
        for line in events.iter_lines():
            if line.startswith("event: "):
                came[line.removeprefix("event: ")] = time.monotonic()
    assert came["succeeded"] - came["queued"] > 0.2, "the sandbox alone takes 0.3 s"
    done = front.caller.get(f"/v1/jobs/{job['id']}").json()
    assert done["completed_via"] == "callback"
    assert front.caller.get(httpx.URL(done["images"][0]["url"]).raw_path.decode()).status_code == 200


def test_no_secret_address_is_in_the_log(front: Front) -> None:
    """Neither a callback's token nor an image's signature, also where the API does not answer."""
    job = front.caller.post("/v1/jobs", json=JOB).json()
    done = until(lambda: (found := front.caller.get(f"/v1/jobs/{job['id']}").json())["images"] and found)
    url = httpx.URL(done["images"][0]["url"])
    front.caller.get(url.raw_path.decode())
    front.caller.post("/webhooks/modelslab/TOKENCANARY", json={})
    front.caller.post("/prefix/%77ebhooks/modelslab/TOKENCANARY", json={})
    until(lambda: '"/webhooks/-"' in front.proxy.log(), what="its line")
    log = front.proxy.log()
    assert not [word for word in (url.query.decode(), "TOKENCANARY", "modelslab/") if word in log]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(front: Front, chunked: bool) -> None:
    """64 KiB; a batch has more, and an end as well."""

    def send(path: str, size: int) -> httpx.Response:
        body = b"[" + b" " * (size - 2) + b"]"
        return front.caller.post(path, content=iter([body]) if chunked else body)

    assert send("/v1/jobs", 65_536).status_code == 422
    assert send("/v1/jobs/batch", 65_537).status_code == 422
    for path, size in (("/v1/jobs", 65_537), ("/webhooks/modelslab/x", 65_537), ("/v1/jobs/batch", 4 * 1024**2 + 1)):
        refused = send(path, size)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large"), path


def test_a_head_over_the_limit_is_refused(front: Front) -> None:
    """One field, all together, the address."""
    for name, size in (("x-one", 9_000), *((f"x-{n}", 6_000) for n in range(6))):
        front.caller.headers[name] = "x" * size
    refused = front.caller.get("/v1/jobs")
    for name in [each for each in front.caller.headers if each.startswith("x-")]:
        del front.caller.headers[name]
    assert (refused.status_code, refused.json()["code"]) == (431, "head_too_large")
    assert front.caller.get("/v1/jobs", params={"track_id": "x" * 9_000}).status_code == 414


AMBIGUOUS = {
    "two lengths of a body": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a Host of somebody else": b"GET /healthz HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n",
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_two_readers_could_read_differently_is_refused(front: Front, what: str) -> None:
    """By nginx, or by the API behind it, which is told the caller's own Host."""
    first = front.raw(AMBIGUOUS[what]).partition(b"\r\n")[0]
    assert b" 400 " in first or first.startswith(b"<html>"), first


def test_only_what_callers_need_is_reached(front: Front) -> None:
    """However it is spelled; /readyz and /metrics are there, on the API's own port."""
    for path in (
        "/metrics",
        "/readyz",
        "//metrics",
        "/%6detrics",
        "/v1/../metrics",
        "/v1/%2e%2e/readyz",
        "/metrics/",
        "/x",
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        assert front.raw(head).startswith(b"HTTP/1.1 404 "), path
    assert '"path":"/metrics/","status":404' in front.proxy.log(), "the path that was asked for, not our page's"
    assert front.here.client.get("/readyz").status_code == 200
    for path in ("/", "/healthz", "/docs", "/docs/errors", "/openapi.json"):
        assert front.caller.get(path).status_code == 200, path


def test_a_head_that_drips_is_ended(front: Front) -> None:
    """After five seconds in all, not five between two bytes."""
    until(lambda: front.ended_after, what="the end of the slow connection")
    assert 3 < front.ended_after < 8


def test_without_the_api_the_answer_is_a_problem_and_the_log_keeps_the_secret(front: Front) -> None:
    """The last test: it ends the API."""
    front.here.kill("api")
    answer = front.caller.post("/webhooks/modelslab/TOKENCANARY2", json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert front.caller.get("/v1/jobs/x/images/0?signature=CANARY3").status_code == 503
    assert not [word for word in ("TOKENCANARY2", "CANARY3") if word in front.proxy.log()]
