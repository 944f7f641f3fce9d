"""The door over real sockets: what it takes, what it refuses and how, and that both ways in answer alike."""

import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import httpx
import pytest
from opentelemetry import trace
from redis import Redis

from api.app import create_app
from api.fast_path import FastPath
from config.settings import Settings
from tests.support.api_server import acmes_client, problem

BODY = {"model_id": "m", "prompt": "a cat"}


def test_the_documentations_body_is_accepted_word_for_word(client: httpx.Client) -> None:
    """202, a Location, and the job."""
    answer = client.post("/v1/jobs", content=Path("api/example.json").read_bytes())
    assert answer.status_code == 202
    assert client.get(answer.headers["location"].partition("8000")[2]).json()["id"] == answer.json()["id"]


def test_the_fresh_job_is_shown_as_it_is_shown_later(client: httpx.Client) -> None:
    """What accept answers from memory is what Redis has; only where it stands may differ."""
    fresh = client.post("/v1/jobs", json=BODY | {"metadata": {"a": 1}, "track_id": 5}).json()
    later = client.get(f"/v1/jobs/{fresh['id']}").json()
    for view in (fresh, later):
        view.pop("position")
        view.pop("explain")
    assert fresh == later


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_00, 400, "invalid_json"),
        (b'{"prompt": NaN}', 400, "invalid_json"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"prompt": "' + b"x" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_bad_body_is_a_clear_problem(client: httpx.Client, content: bytes, status: int, code: str) -> None:
    """Never a 500."""
    problem(client.post("/v1/jobs", content=content), status, code)


def test_a_body_that_grows_past_the_limit_is_refused_without_a_declared_length(client: httpx.Client) -> None:
    """Counted while it streams."""

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    problem(client.post("/v1/jobs", content=chunks()), 413, "body_too_large")


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    """A small one may unpack to anything."""
    answer = client.post("/v1/jobs", content=b"x", headers={"content-encoding": "gzip"})
    problem(answer, 415, "unsupported_media_type")


def test_a_refusal_names_the_field_and_never_the_prompt(client: httpx.Client) -> None:
    """What came and what is allowed."""
    answer = client.post("/v1/jobs", json={"prompt": "canary-text", "model_id": "m", "width": 5000, "widht": 3})
    content = problem(answer, 422, "invalid_request")
    assert {error["field"]: error["allowed"] for error in content["errors"]} == {
        "width": "a whole number from 1 to 1024",
        "widht": "width",
    }
    assert "canary" not in answer.text


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic acme-key-0123"}])
def test_without_a_valid_key_nothing_is_told(client: httpx.Client, header: dict[str, str]) -> None:
    """401 on every call that is about jobs."""
    client.headers.pop("authorization")
    for method, path in (("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/v1/jobs/01M859N4P0ZK88SXJWVC1PBXXR")):
        problem(client.request(method, path, headers=header, json=BODY), 401, "unauthorized")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/v1/jobs", "/docs/errors"])
def test_head_answers_as_get_does_without_a_body(client: httpx.Client, path: str) -> None:
    """A monitor asks so; also of a job and of its events, which a GET would follow."""
    job = client.post("/v1/jobs", json=BODY).json()["id"]
    for each in (path, f"/v1/jobs/{job}"):
        got, head = client.get(each), client.head(each)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    followed = client.head(f"/v1/jobs/{job}/events")
    assert (followed.status_code, followed.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    refused = client.head(f"/v1/jobs/{job}/cancel")
    assert refused.status_code == 405
    assert client.request("PATCH", "/v1/jobs").headers["allow"] == "GET, HEAD, POST"


def test_every_problems_type_leads_to_a_page_that_explains_it(client: httpx.Client) -> None:
    """By the address as it stands in the answer, at the API itself, without a key."""
    told = problem(client.get("/v1/jobs/01M859N4P0ZK88SXJWVC1PBXXR"), 404, "not_found")
    client.headers.pop("authorization")
    page = client.get(told["type"])
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f'id="{told["type"].partition("#")[2]}"' in page.text


def test_the_framework_traces_nothing_by_itself(
    client: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spans would hold signed image addresses and filters; any provider in the process would switch them on."""
    spans: list[str] = []

    class Recording(trace.Tracer):
        def start_span(self, name: str, *_: object, **__: object) -> trace.Span:  # type: ignore[override]
            spans.append(name)
            return trace.INVALID_SPAN

        start_as_current_span = start_span  # type: ignore[assignment]

    class Provider(trace.TracerProvider):
        def get_tracer(self, *_: object, **__: object) -> trace.Tracer:  # type: ignore[override]
            return Recording()

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Provider())
    with acmes_client(create_app(settings)) as plain:
        assert plain.get("/v1/jobs", params={"metadata.secret": "x"}).status_code == 200
        assert plain.get("/healthz").status_code == 200
    assert spans == []


def test_a_batch_with_one_bad_request_accepts_none(client: httpx.Client, redis: Redis) -> None:
    """And names the index."""
    content = problem(client.post("/v1/jobs/batch", json=[BODY, BODY | {"samples": 9}]), 422, "invalid_request")
    assert content["errors"][0]["field"] == "1.samples"
    assert redis.hget("counts", "queued") is None


def test_a_list_is_filtered_and_paged(client: httpx.Client) -> None:
    """Newest first, by cursor, without timeline."""
    ids = [client.post("/v1/jobs", json=BODY | {"metadata": {"n": n % 2}}).json()["id"] for n in range(5)]
    page = client.get("/v1/jobs", params={"limit": 2}).json()
    assert sorted(job["id"] for job in page["jobs"]) == sorted(ids[-2:])
    seen = [job["id"] for job in page["jobs"]]
    while cursor := page["next_cursor"]:
        page = client.get("/v1/jobs", params={"limit": 2, "cursor": cursor}).json()
        seen += [job["id"] for job in page["jobs"]]
    assert sorted(seen) == sorted(ids)
    odd = client.get("/v1/jobs", params={"metadata.n": "1"}).json()["jobs"]
    assert sorted(job["id"] for job in odd) == sorted(ids[1::2])
    assert "timeline" not in odd[0]
    problem(client.get("/v1/jobs", params={"status": "nonsense"}), 422, "invalid_request")


def test_cancel_delete_and_retry_follow_the_status(client: httpx.Client) -> None:
    """A queued job is not charged; only an ended one can be deleted or run again."""
    job = client.post("/v1/jobs", json=BODY).json()
    problem(client.delete(f"/v1/jobs/{job['id']}"), 409, "conflict")
    cancelled = client.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert (cancelled["status"], cancelled["charged"]) == ("cancelled", False)
    problem(client.post(f"/v1/jobs/{job['id']}/cancel"), 409, "conflict")
    assert client.post(f"/v1/jobs/{job['id']}/retry").json()["retry_of"] == job["id"]
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    problem(client.get(f"/v1/jobs/{job['id']}"), 404, "not_found")


def test_a_retrys_answer_is_what_its_accept_wrote(client: httpx.Client, settings: Settings) -> None:
    """As a new job's is: read again it might show what a quick worker has done with it by then."""
    job = client.post("/v1/jobs", json=BODY | {"metadata": {"a": 1}}).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    with Redis.from_url(settings.redis_url.get_secret_value()) as redis, redis.monitor() as monitor:
        retry = client.post(f"/v1/jobs/{job['id']}/retry").json()
        redis.echo("the end")
        commands = list(takewhile(lambda each: "the end" not in each["command"], monitor.listen()))
    from_here = [each for each in commands if each["client_type"] != "lua" and retry["id"] in each["command"]]
    assert len(from_here) == 1
    assert (retry["status"], retry["retry_of"], retry["metadata"]) == ("queued", job["id"], {"a": 1})
    later = client.get(f"/v1/jobs/{retry['id']}").json()
    for view in (retry, later):
        view.pop("position")
        view.pop("explain")
    assert retry == later


def test_the_operators_pages_need_no_key_and_tell_nothing_of_jobs(client: httpx.Client) -> None:
    """Alive, ready, measured, documented."""
    client.headers.pop("authorization")
    client.post("/v1/jobs", json=BODY, headers={"authorization": "Bearer acme-key-0123"})
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "a cat" not in answer.text
    assert 'darkroom_jobs{status="queued"} 1.0' in client.get("/metrics").text


def test_a_redis_that_is_away_is_503_with_retry_after_at_once(settings: Settings) -> None:
    """Not a hang, and not a 500."""
    away = settings.model_copy(update={"redis_url": type(settings.redis_url)("redis://127.0.0.1:1/0")})
    with acmes_client(FastPath(create_app(away), away.max_body_bytes)) as client:
        began = time.monotonic()
        content = problem(client.post("/v1/jobs", json=BODY), 503, "unavailable")
        assert "Idempotency-Key" in content["detail"]
        assert time.monotonic() - began < 2
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_openapi_says_which_calls_need_a_key_and_shows_the_documentations_example(client: httpx.Client) -> None:
    """So that `/docs` and generated clients can send it."""
    schema = client.get("/openapi.json").json()
    assert schema["paths"]["/v1/jobs"]["post"]["security"] == [{"key": []}]
    assert "security" not in schema["paths"]["/healthz"]["get"]
    body = schema["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"]["scheduler"] == "UniPCMultistepScheduler"
    assert len(body["schema"]["properties"]["scheduler"]["enum"]) == 20


@pytest.mark.parametrize(
    "family", ["/v1/enterprise", "/v1/enterprise/images", "/v1/enterprise/community", "/v6/images"]
)
def test_every_variant_of_the_upstreams_paths_accepts_and_fetches(client: httpx.Client, family: str) -> None:
    """By POST with the id in the path or in the body, and by GET with the key in the header."""
    started = client.post(f"/api{family}/text2img", json=BODY | {"key": "acme-key-0123"}).json()
    known = {"key": "acme-key-0123"}
    answers = [
        client.post(f"/api{family}/fetch", json=known | {"request_id": started["id"]}),
        client.post(f"/api{family}/fetch/{started['id']}", json=known),
        client.get(f"/api{family}/fetch/{started['id']}"),
    ]
    assert [answer.json()["status"] for answer in answers] == ["processing"] * 3
    nobody = client.post(f"/api{family}/fetch/{started['id']}", json={"key": "not-a-key"}).json()
    assert (nobody["status"], nobody["message"]) == ("error", "Invalid Api Key")
