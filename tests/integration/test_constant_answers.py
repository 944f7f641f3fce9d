"""Answers that are the same for everybody: made once."""

import asyncio
import re
import time
from base64 import b64encode
from hashlib import sha256

import httpx
import pytest
from redis import Redis

from config.settings import Settings
from tests.support.api_server import running_api

ACME = {"authorization": "Bearer acme-key-0123"}


def test_the_schema_costs_next_to_nothing(settings: Settings) -> None:
    """Rendered anew, a hundred of them take a second of everybody's time."""
    with running_api(settings) as client:
        client.get("/openapi.json")
        began = time.process_time()
        for _ in range(100):
            assert client.get("/openapi.json").headers["content-type"] == "application/json"
        assert time.process_time() - began < 1


@pytest.mark.parametrize("path", ["/openapi.json", "/healthz", "/", "/static-offline-docs/swagger-ui.css"])
def test_a_constant_answer_is_whole_for_get_head_and_who_knows_it(settings: Settings, path: str) -> None:
    """With its length, and a tag to ask by."""
    with running_api(settings) as client:
        whole = client.get(path)
        head = client.head(path)
        known = client.get(path, headers={"if-none-match": whole.headers["etag"]})
        wrong = client.post(path)
    assert whole.status_code == head.status_code == 200
    assert int(whole.headers["content-length"]) == len(whole.content) == int(head.headers["content-length"])
    assert (head.content, known.content, known.status_code) == (b"", b"", 304)
    assert wrong.status_code in (404, 405)


def test_readiness_is_found_out_once_a_second_however_many_ask(settings: Settings, redis: Redis) -> None:
    """Each would be a write to Redis and to the image store."""

    async def asked(address: str) -> set[int]:
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            return {each.status_code for each in await asyncio.gather(*(client.get("/readyz") for _ in range(100)))}

    with running_api(settings) as client:
        client.get("/readyz")
        before = redis.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"]
        assert asyncio.run(asked(str(client.base_url))) == {200}
        after = redis.info("commandstats")["cmdstat_set"]["calls"]
    assert after - before <= 4


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/errors"])
def test_a_page_runs_its_own_scripts_only_and_is_framed_by_nobody(settings: Settings, path: str) -> None:
    """What stands inline is named by its hash."""
    with running_api(settings) as client:
        page = client.get(path)
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    for kind, text in re.findall(r"<(script|style)>(.*?)</", page.text, re.DOTALL):
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert re.search(rf"{kind}-src [^;]*'sha256-{re.escape(digest)}'", policy)
    assert page.headers["x-content-type-options"] == "nosniff"


def test_nothing_on_the_way_keeps_what_a_key_has_asked_for(settings: Settings) -> None:
    """Neither a job nor a refusal."""
    with running_api(settings) as client:
        made = client.post("/v1/jobs", json={"model_id": "m", "prompt": "a cat"}, headers=ACME)
        for path in ("/v1/jobs", f"/v1/jobs/{made.json()['id']}", "/v1/usage", "/v1/jobs/nothing"):
            assert client.get(path, headers=ACME).headers["cache-control"] == "no-store", path
    assert made.headers["cache-control"] == "no-store"
