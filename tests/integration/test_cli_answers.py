"""The developer's commands against servers that misbehave: lost answers, redirects, things that are not Darkroom."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from api.cli.caller.connection import Api, Exit
from api.cli.main import main
from config.settings import load_settings

Asked = list[tuple[str, str, dict[str, str]]]
Answer = Callable[[BaseHTTPRequestHandler, int], None]
KEY = "dk-test-key-0123"


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, Asked]]:
    """A server that answers as told, and what it was asked: method, path, headers."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer(self, len(asked))

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key in the environment, and nothing remembered."""
    monkeypatch.setenv("DARKROOM_KEY", KEY)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_a_lost_answer_to_a_submit_is_asked_for_again_under_the_same_idempotency_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first POST is taken and its answer lost, the second finds the API away: one job, not two."""
    monkeypatch.setattr("api.cli.caller.submit.PAUSE_SECONDS", 0.01)

    def answer(handler: BaseHTTPRequestHandler, times: int) -> None:
        if times == 1:
            handler.connection.close()
        elif times == 2:
            send(handler, 503, json.dumps({"code": "unavailable", "detail": "away"}).encode())
        else:
            send(handler, 202, b'{"id":"J"}')

    with serving(answer) as (url, asked):
        assert main(["submit", "--prompt", "x", "--url", url]) == 0
    assert capsys.readouterr().out == "J\n"
    keys = {headers["idempotency-key"] for _, _, headers in asked}
    assert (len(asked), len(keys)) == (3, 1)


def test_a_refused_submit_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """What was said is said once."""
    problem = {"code": "queue_full", "title": "t", "detail": "later"}
    with serving(lambda handler, _: send(handler, 429, json.dumps(problem).encode())) as (url, asked):
        assert main(["submit", "--prompt", "x", "--url", url, "--json"]) == Exit.AWAY
    assert len(asked) == 1
    said = capsys.readouterr()
    assert (json.loads(said.out), said.err) == (problem, "darkroom: later (queue_full)\n")


def test_the_key_is_sent_to_the_api_and_to_nobody_it_points_at() -> None:
    """A redirect to an image store is followed without it."""
    with serving(lambda handler, _: send(handler, 200, b"bytes")) as (store, asked_of_store):
        redirect: Answer = lambda handler, _: send(handler, 307, b"", location=f"{store}/image")  # noqa: E731
        with serving(redirect) as (url, asked):
            api = Api(url, KEY)
            with api.stream("/v1/jobs/J/images/0") as answer:
                assert answer.read() == b"bytes"
            api.close()
    assert asked[0][2]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in asked_of_store[0][2]


def test_other_bytes_than_the_jobs_are_never_given_a_name(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tried again, then refused; the folder stays empty."""
    image = {"index": 0, "format": "PNG", "sha256": "0" * 64, "bytes": 5}
    job = {"id": "J", "status": "succeeded", "explain": "", "images": [image]}
    out = tmp_path_factory.mktemp("out")

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, 200, b"bytes" if "images" in handler.path else json.dumps(job).encode())

    with serving(answer) as (url, asked):
        assert main(["images", "J", "--out", str(out), "--url", url]) == Exit.AWAY
    assert len(asked) == 4
    assert list(out.iterdir()) == []
    assert "not those that the job names" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(200, 3), (404, 5), (502, 3)])
def test_what_is_not_darkroom_is_said_to_be_something_else(
    capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    """A proxy's page is no job and no crash."""
    with serving(lambda handler, _: send(handler, status, b"<html>\x1b[31m")) as (url, _asked):
        assert main(["get", "J", "--url", url]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "\x1b" not in said.err


def test_without_a_key_nothing_is_sent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to give one."""
    monkeypatch.delenv("DARKROOM_KEY")
    load_settings.cache_clear()
    with serving(lambda handler, _: send(handler, 200, b"{}")) as (url, asked):
        assert main(["list", "--url", url]) == Exit.DENIED
    assert asked == []
    assert "DARKROOM_KEY" in capsys.readouterr().err
