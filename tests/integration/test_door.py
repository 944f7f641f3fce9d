"""The door's edges over real sockets: slow connections, stops, lists while deleting, repeats."""

import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from redis import Redis

from api import server
from api.cli.stack.redis_server import free_port
from config.settings import Settings
from tests.support.api_server import running_api
from worker.job.ids import created_at

BODY = {"model_id": "m", "prompt": "a cat"}
HEADERS = {"authorization": "Bearer acme-key-0123"}


def test_a_list_skips_nothing_where_its_cursor_was_deleted(settings: Settings, redis: Redis) -> None:
    """A batch's jobs share a millisecond."""
    with running_api(settings) as client:
        client.headers.update(HEADERS)
        made = sorted(row["id"] for row in client.post("/v1/jobs/batch", json=[BODY] * 7).json()["jobs"])[::-1]
        assert len({created_at(each) for each in made}) == 1
        page = client.get("/v1/jobs", params={"limit": 3}).json()
        client.post(f"/v1/jobs/{page['next_cursor']}/cancel")
        assert client.delete(f"/v1/jobs/{page['next_cursor']}").status_code == 204
        rest = client.get("/v1/jobs", params={"limit": 3, "cursor": page["next_cursor"]}).json()
        last = client.get("/v1/jobs", params={"limit": 3, "cursor": rest["next_cursor"]}).json()
    assert [row["id"] for row in page["jobs"] + rest["jobs"] + last["jobs"]] == made


def test_a_repeated_batch_with_a_deleted_job_is_a_404(settings: Settings) -> None:
    """Fewer jobs than asked for would be taken for others."""
    with running_api(settings) as client:
        client.headers.update(HEADERS | {"idempotency-key": "one"})
        made = client.post("/v1/jobs/batch", json=[BODY] * 2).json()["jobs"]
        client.post(f"/v1/jobs/{made[0]['id']}/cancel")
        client.delete(f"/v1/jobs/{made[0]['id']}")
        assert client.post("/v1/jobs/batch", json=[BODY] * 2).status_code == 404


def test_a_repeated_retry_is_one_job(settings: Settings) -> None:
    """Where it has an Idempotency-Key."""
    with running_api(settings) as client:
        client.headers.update(HEADERS)
        job = client.post("/v1/jobs", json=BODY).json()["id"]
        client.post(f"/v1/jobs/{job}/cancel")
        retry = [client.post(f"/v1/jobs/{job}/retry", headers={"idempotency-key": "k"}) for _ in range(2)]
        other = client.post(f"/v1/jobs/{job}/retry")
    assert [each.status_code for each in retry] == [202, 202]
    assert retry[0].json()["id"] == retry[1].json()["id"] != other.json()["id"]


def test_no_redirect_is_built_from_the_host_header(settings: Settings) -> None:
    """Which a caller writes."""
    with running_api(settings) as client:
        assert client.get("/v1/jobs/", headers={"host": "evil.example"}).status_code == 404


def test_ready_shows_the_upstreams_host_only(settings: Settings) -> None:
    """Its address may hold what nobody else should read."""
    with running_api(settings.model_copy(update={"upstream_url": "https://u:canary@up.example/x"})) as client:
        facts = client.get("/readyz").json()
    assert facts["upstream"] == "not the provider: up.example"


@pytest.fixture
def process(settings: Settings, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The real API process and its port; killed at the end."""
    port = free_port()
    environment = os.environ | {
        "DARKROOM_REDIS_URL": settings.redis_url.get_secret_value(),
        "DARKROOM_SECRET": "a-secret-for-tests-0123456789",
        "DARKROOM_API_KEYS": "acme:acme-key-0123",
        "DARKROOM_PORT": str(port),
        "DARKROOM_IMAGES_URL": f"file://{tmp_path}/images",
    }
    code = "import sys, api.guard.bounds as b; b.REQUEST_SECONDS = 1.0; import api.__main__ as m; sys.exit(m.main())"
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            break
        except httpx.HTTPError:
            assert running.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
    yield running, port, tmp_path / "log"
    running.kill()
    running.wait()


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HT", b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
)
def test_a_request_that_does_not_come_is_not_waited_for(process, begun: bytes) -> None:  # type: ignore[no-untyped-def]
    """No key is needed to open connections. A hang-up is no error of ours."""
    with socket.create_connection(("127.0.0.1", process[1]), timeout=5) as connection:
        connection.sendall(begun)
        while connection.recv(4096):
            pass
    assert "request.failed" not in process[2].read_text()


def test_an_open_stream_does_not_hold_up_the_end(process) -> None:  # type: ignore[no-untyped-def]
    """The client comes back with Last-Event-ID."""
    running, port, _ = process
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=10) as client:
        job = client.post("/v1/jobs", json=BODY).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job}/events") as stream:
            lines = stream.iter_lines()
            next(lines)
            time.sleep(1.5)  # longer than a request may take to come: an answer may take longer
            begun = time.monotonic()
            running.terminate()
            assert list(lines) and running.wait(10) is not None
    assert time.monotonic() - begun < 3


def test_as_many_descriptors_as_the_system_lets(process) -> None:  # type: ignore[no-untyped-def]
    """The usual soft limit is few connections."""
    soft, hard = resource.prlimit(process[0].pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, server.MOST_DESCRIPTORS) or hard == resource.RLIM_INFINITY


def test_a_plain_webhook_is_refused_where_only_https_is_allowed(settings: Settings) -> None:
    """The same address over https is taken."""
    body = {"model_id": "m", "prompt": "p", "webhook": "http://hooks.example/told"}
    with running_api(settings.model_copy(update={"webhooks_https_only": True})) as client:
        client.headers.update(HEADERS)
        refused = client.post("/v1/jobs", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "webhook")
        assert client.post("/v1/jobs", json=body | {"webhook": "https://hooks.example/told"}).status_code == 202
