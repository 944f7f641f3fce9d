"""The door over real sockets: what it takes, what it refuses and how, and that both ways in answer alike."""

import re
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from opentelemetry import trace
from redis import Redis

from api.app import create_app
from api.fast_path import Express
from api.schemas.usage import UsageView
from config.settings import Settings
from tests.support.queue import done_beside
from worker.signing import callback_token
from worker.store.jobs import MOST_INBOX_ROWS

BODY = {"model_id": "m", "prompt": "a cat"}


class Server:
    """The API in a thread, on a port of its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(app, port=0, log_config=None, http="httptools", lifespan="on")
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, daemon=True)
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.01)
        port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        headers = {"authorization": "Bearer acme-key-0123"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10)

    def stop(self) -> None:
        self.client.close()
        self.uvicorn.should_exit = True
        self.thread.join(10)


@pytest.fixture(params=["express", "framework"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[httpx.Client]:
    """A client of the same application both ways in: what one refuses the other must refuse alike."""
    app = create_app(settings)
    server = Server(Express(app, settings.max_body_bytes) if request.param == "express" else app)
    yield server.client
    server.stop()


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert (content["code"], content["status"]) == (code, status)
    return content


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


def test_an_idempotency_key_answers_the_same_job_and_refuses_another_body(client: httpx.Client) -> None:
    """Also in a batch, where the key stands for all of it."""
    headers = {"idempotency-key": "k1"}
    first = client.post("/v1/jobs", json=BODY, headers=headers).json()
    assert client.post("/v1/jobs", json=BODY, headers=headers).json()["id"] == first["id"]
    problem(client.post("/v1/jobs", json=BODY | {"seed": 1}, headers=headers), 422, "idempotency_mismatch")
    batch = client.post("/v1/jobs/batch", json=[BODY, BODY], headers=headers).json()["jobs"]
    again = client.post("/v1/jobs/batch", json=[BODY, BODY], headers=headers).json()["jobs"]
    assert [job["id"] for job in batch] == [job["id"] for job in again]


def test_the_same_json_value_is_the_same_request_under_one_key(client: httpx.Client) -> None:
    """In another order, with other white space and escapes, `512.0` for `512`; one value changed is another request."""
    headers = {"idempotency-key": "k2", "content-type": "application/json"}
    body = {"model_id": "m", "prompt": "é", "width": 512, "metadata": {"a": 1, "b": "2"}}
    first = client.post("/v1/jobs", json=body, headers=headers).json()["id"]
    other = '{ "metadata":{"b":"2","a":1.0}, "width" : 512.0,\n"prompt":"\\u00e9", "model_id":"m"}'
    assert client.post("/v1/jobs", content=other, headers=headers).json()["id"] == first
    assert client.post("/v1/jobs", json=dict(reversed(body.items())), headers=headers).json()["id"] == first
    changed = body | {"metadata": {"a": 1, "b": 2}}  # a number is no text
    problem(client.post("/v1/jobs", json=changed, headers=headers), 422, "idempotency_mismatch")
    doubled = '{"model_id":"x","model_id":"m","prompt":"é","width":512,"metadata":{"a":1,"b":"2"}}'
    assert client.post("/v1/jobs", content=doubled, headers=headers).json()["id"] == first, "the last of two counts"


def test_a_key_that_an_older_version_kept_answers_the_same_job(client: httpx.Client, redis: Redis) -> None:
    """Its fingerprint was of the bytes: a repetition over the upgrade is no other request."""
    headers = {"idempotency-key": "k3", "content-type": "application/json"}
    content = orjson.dumps(BODY)
    job = client.post("/v1/jobs", content=content, headers=headers).json()["id"]
    [row] = redis.keys("idempotency:acme:*")
    redis.set(row, f"{sha256(content).hexdigest()} {job}")
    assert client.post("/v1/jobs", content=content, headers=headers).json()["id"] == job
    problem(client.post("/v1/jobs", json=BODY | {"seed": 1}, headers=headers), 422, "idempotency_mismatch")


def test_more_callbacks_than_are_kept_are_refused_so_that_they_come_again(
    client: httpx.Client, settings: Settings
) -> None:
    """Nobody reads the inbox: what is not kept is not said to be."""
    job = client.post("/v1/jobs", json=BODY).json()
    address = f"/webhooks/modelslab/{callback_token(job['id'] + '-1', settings.secrets)}"
    answers = [client.post(address, json={"status": "success", "id": n}) for n in range(MOST_INBOX_ROWS + 1)]
    assert {each.status_code for each in answers[:-1]} == {200}
    problem(answers[-1], 503, "unavailable")
    assert answers[-1].headers["retry-after"] == "5"


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
    server = Server(create_app(settings))
    try:
        assert server.client.get("/v1/jobs", params={"metadata.secret": "x"}).status_code == 200
        assert server.client.get("/healthz").status_code == 200
    finally:
        server.stop()
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
    redis = Redis.from_url(settings.redis_url.get_secret_value())
    with redis.monitor() as monitor:
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


def test_one_key_of_two_tenants_is_two_keys(client: httpx.Client) -> None:
    """What a caller chooses as its key says nothing about, and finds nothing of, another's."""
    keyed, other = {"idempotency-key": "1"}, {"authorization": "Bearer other-key-0123"}
    own = client.post("/v1/jobs", json=BODY, headers=keyed).json()
    theirs = client.post("/v1/jobs", json=BODY | {"prompt": "a dog"}, headers=keyed | other)
    assert theirs.status_code == 202
    assert theirs.json()["id"] != own["id"]
    problem(client.get(f"/v1/jobs/{own['id']}", headers=other), 404, "not_found")


def test_a_retrys_key_answers_its_job_whatever_becomes_of_the_origin(client: httpx.Client) -> None:
    """The key is looked at before the origin: a lost answer can be asked for again after it is deleted."""
    job = client.post("/v1/jobs", json=BODY).json()
    client.post(f"/v1/jobs/{job['id']}/cancel")
    keyed = {"idempotency-key": "again"}
    first = client.post(f"/v1/jobs/{job['id']}/retry", headers=keyed)
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    again = client.post(f"/v1/jobs/{job['id']}/retry", headers=keyed)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["location"] == first.headers["location"]
    problem(client.post(f"/v1/jobs/{job['id']}/retry", headers={"idempotency-key": "new"}), 404, "not_found")


def test_a_callback_with_a_wrong_token_is_like_no_address(client: httpx.Client, settings: Settings) -> None:
    """Truncated, another attempt's, empty: the same answer; nothing is written."""
    job = client.post("/v1/jobs", json=BODY).json()
    token = callback_token(f"{job['id']}-1", settings.secrets)
    wrong = [token[:-1], token.replace("-1.", "-2."), "x", f"{job['id']}-1.", token.swapcase(), "a" * 5000]
    answers = [client.post(f"/webhooks/modelslab/{each}", json={"status": "success"}) for each in wrong]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert len(client.get(f"/v1/jobs/{job['id']}").json()["timeline"]) == 1


def test_a_callback_with_its_token_is_kept_and_answered_twice(client: httpx.Client, settings: Settings) -> None:
    """A duplicate answers 200; broken JSON is 400."""
    job = client.post("/v1/jobs", json=BODY).json()
    address = f"/webhooks/modelslab/{callback_token(job['id'] + '-1', settings.secrets)}"
    ended = {"status": "failed", "id": "7", "message": "no"}
    assert client.post(address, json=ended).json() == {"received": "kept"}
    assert client.post(address, json=ended).json() == {"received": "duplicate"}
    assert client.post(address, json={"status": "processing"}).json() == {"received": "noted"}
    problem(client.post(address, content=b"{"), 400, "invalid_json")
    problem(client.post(address, content=b"[" * 10_000), 400, "invalid_json")


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
    server = Server(Express(create_app(away), away.max_body_bytes))
    try:
        began = time.monotonic()
        content = problem(server.client.post("/v1/jobs", json=BODY), 503, "unavailable")
        assert "Idempotency-Key" in content["detail"]
        assert time.monotonic() - began < 2
        assert server.client.get("/readyz").status_code == 503
        assert server.client.get("/healthz").status_code == 200
    finally:
        server.stop()


def test_openapi_says_which_calls_need_a_key_and_shows_the_documentations_example(client: httpx.Client) -> None:
    """So that `/docs` and generated clients can send it."""
    schema = client.get("/openapi.json").json()
    assert schema["paths"]["/v1/jobs"]["post"]["security"] == [{"key": []}]
    assert "security" not in schema["paths"]["/healthz"]["get"]
    body = schema["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"]["scheduler"] == "UniPCMultistepScheduler"
    assert len(body["schema"]["properties"]["scheduler"]["enum"]) == 20


def test_a_tenant_sees_what_it_uses_and_is_told_what_it_ran_against(client: httpx.Client, redis: Redis) -> None:
    """Its budget, its queue and its rate: refused with the figure and when again, and shown by /v1/usage."""
    redis.hset("tenant:acme", mapping={"images_day": 3, "waiting": 2, "rate": 1000, "burst": 5})
    assert client.post("/v1/jobs", json=BODY | {"samples": 2}).status_code == 202
    refused = client.post("/v1/jobs", json=BODY | {"samples": 2})
    content = problem(refused, 429, "budget_exceeded")
    assert content["detail"] == "2 of your 3 images of this day are bought or reserved."
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert client.post("/v1/jobs", json=BODY).status_code == 202
    redis.hset("tenant:acme", "images_day", 100)
    problem(client.post("/v1/jobs", json=BODY), 429, "tenant_queue_full")
    usage = client.get("/v1/usage").json()
    assert UsageView.model_validate(usage).model_dump() == usage
    assert usage["day"]["images"] == {"open": 3, "spent": 0, "limit": 100}
    assert usage["waiting"] == {"jobs": 2, "limit": 2}
    redis.hset("tenant:acme", mapping={"rate": 0.01, "burst": 1, "waiting": 0})
    assert client.post("/v1/jobs", json=BODY).status_code == 202
    refused = client.post("/v1/jobs", json=BODY)
    problem(refused, 429, "rate_limited")
    assert 90 <= int(refused.headers["retry-after"]) <= 101


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"waiting": 1}, "Rate limit exceeded. Maximum 1 queued requests allowed."),
        ({"rate": 0.01, "burst": 1}, "Rate limit exceeded"),
        ({"images_day": 1}, "Insufficient credits. Please add more credits to continue."),
    ],
)
def test_a_limit_is_told_to_the_upstreams_clients_in_its_words(
    client: httpx.Client, redis: Redis, limits: dict[str, float], message: str
) -> None:
    """HTTP 200, and the wait where such clients look for it."""
    redis.hset("tenant:acme", mapping=limits)
    ask = BODY | {"key": "acme-key-0123"}
    path = "/api/v1/enterprise/text2img"
    while (answer := client.post(path, json=ask)).json()["status"] == "processing":
        assert answer.status_code == 200
    told = answer.json()
    assert (answer.status_code, told["status"], told["message"]) == (200, "error", message)
    assert told["retry_after"] == int(answer.headers["retry-after"]) > 0


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


def test_a_waiting_job_says_where_it_stands(client: httpx.Client, redis: Redis, redis_url: str) -> None:
    """At accept, when it is shown, and in the list: the same position, the same wait, the same sentence."""
    redis.sadd("upstreams", "eu-1")
    redis.hset("upstream:eu-1", mapping={"limit": 1})
    done_beside(redis_url, client.post("/v1/jobs", json=BODY).json()["id"], hold_ms=10_000, done_ms=12_000)
    redis.hset("fair:time", "acme", 1_000_000)  # it has had a turn
    first = client.post("/v1/jobs", json=BODY).json()
    assert (first["position"], first["explain"]) == (0, "It has its place upstream and waits for a worker.")
    client.post("/v1/jobs", json=BODY, headers={"authorization": "Bearer other-key-0123"})
    told = client.post("/v1/jobs/batch", json=[BODY, BODY]).json()["jobs"]
    assert [job["position"] for job in told] == [1, 2]
    assert [job["eta_seconds"] for job in told] == [pytest.approx(32.5, abs=2), pytest.approx(42.5, abs=2)]
    shown = client.get(f"/v1/jobs/{told[1]['id']}").json()
    assert shown["explain"] == told[1]["explain"]
    assert shown["explain"] == (
        "2nd of 2 of tenant acme; 1 of other tenants goes before it; key eu-1 at 1 of 1; about 30 s."
    )
    listed = client.get("/v1/jobs").json()["jobs"]
    waiting = [job for job in listed if job["status"] == "queued"]
    assert {job["id"]: job["position"] for job in waiting} == {first["id"]: 0, told[0]["id"]: 1, told[1]["id"]: 2}


def test_a_job_that_cannot_meet_its_deadline_is_refused_with_the_predicted_wait(
    client: httpx.Client, redis: Redis, redis_url: str
) -> None:
    """If `deadline_policy` says so; without it, it is accepted."""
    redis.sadd("upstreams", "eu-1")
    redis.hset("upstream:eu-1", mapping={"limit": 1})
    done_beside(redis_url, client.post("/v1/jobs", json=BODY).json()["id"], hold_ms=10_000, done_ms=12_000)
    for _ in range(2):
        client.post("/v1/jobs", json=BODY)
    hasty = BODY | {"deadline_seconds": 20, "deadline_policy": "refuse"}
    refused = client.post("/v1/jobs", json=hasty)
    content = problem(refused, 429, "deadline_unreachable")
    assert re.match(r"It would take about 3[23] s, which is 1[234] s more", content["detail"])
    assert refused.headers["retry-after"] in ("12", "13", "14")
    problem(client.post("/v1/jobs/batch", json=[BODY, hasty]), 429, "deadline_unreachable")
    assert client.post("/v1/jobs", json=hasty | {"deadline_policy": "accept"}).status_code == 202
    problem(client.post("/v1/jobs", json=BODY | {"deadline_policy": "maybe"}), 422, "invalid_request")


def test_the_queue_is_measured_for_a_scaler(client: httpx.Client) -> None:
    """How many wait, of whom, since when."""
    client.post("/v1/jobs/batch", json=[BODY, BODY])
    text = client.get("/metrics").text
    assert "darkroom_waiting_jobs 2.0" in text
    assert 'darkroom_tenant_waiting_jobs{tenant="acme"} 2.0' in text
    assert "darkroom_oldest_waiting_seconds 0." in text
