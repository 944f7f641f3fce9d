"""Answers that are the same for everybody: made once."""

import asyncio
import time

import httpx
import pytest
from redis import Redis

from config.settings import Settings
from tests.support.api_server import running_api


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
