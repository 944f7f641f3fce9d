"""What a caller is told of the queue, over real sockets: what it uses, where its job stands, what it ran against."""

import re

import httpx
import pytest
from pydantic import SecretStr
from redis import Redis

from api.app import create_app
from api.schemas.usage import UsageView
from config.settings import Settings
from tests.support.api_server import acmes_client, problem
from tests.support.queue import done_beside

BODY = {"model_id": "m", "prompt": "a cat"}


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
    stands = "2nd of 2 of tenant acme; 1 of other tenants goes before it; key eu-1 at 1 of 1; about 3[01] s."
    assert re.fullmatch(stands, shown["explain"])  # by the pace, which is measured
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
    """How many wait, since when. Not of whom: the page needs no key."""
    client.post("/v1/jobs/batch", json=[BODY, BODY])
    text = client.get("/metrics").text
    assert "darkroom_waiting_jobs 2.0" in text
    assert "darkroom_oldest_waiting_seconds 0." in text
    assert "acme" not in text


def test_tenants_are_named_to_whoever_has_the_metrics_token(settings: Settings) -> None:
    """With a token set, nobody else is shown anything."""
    guarded = settings.model_copy(update={"metrics_token": SecretStr("metrics-token-0123")})
    with acmes_client(create_app(guarded)) as client:
        client.post("/v1/jobs", json=BODY)
        for wrong in ({}, {"authorization": "Bearer acme-key-0123"}):
            problem(client.get("/metrics", headers=wrong or {"authorization": ""}), 401, "unauthorized")
        text = client.get("/metrics", headers={"authorization": "Bearer metrics-token-0123"}).text
    assert 'darkroom_tenant_waiting_jobs{tenant="acme"} 1.0' in text
