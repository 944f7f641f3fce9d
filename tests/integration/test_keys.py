"""API keys on a real Redis: made, known at once, revoked within seconds, each allowed what its scopes say."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx
import pytest
from fastapi.routing import APIRoute
from redis import Redis

from api.app import create_app
from api.cli.stack.redis_server import EmbeddedRedis, free_port
from api.keys import REFRESH_SECONDS, KeyRing, configured_keys
from config.settings import Settings
from tests.support.api_server import running_api
from worker.job.ids import new_job_id
from worker.job.record import Order
from worker.store import api_keys as key_store
from worker.store.admission import Allowance
from worker.store.api_keys import Key, KeyStore, Scope, TooManyKeys, digest_of, new_key
from worker.store.jobs import JobStore
from worker.store.lane import Lane, RedisUnavailable, connect

ABSENT = "01M859N4P0ZK88SXJWVC1PBXXR"
BODY = {"model_id": "m", "prompt": "a cat"}
Made = TypeVar("Made")


def now_ms() -> int:
    return int(time.time() * 1000)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def keys(redis_url: str) -> AsyncIterator[KeyStore]:
    """A key store on the emptied server."""
    lane = Lane(connect(redis_url, 5), 5)
    yield KeyStore(lane)
    await lane.aclose()


def on_store(settings: Settings, act: Callable[[KeyStore], Awaitable[Made]]) -> Made:
    """What one command on the key store comes to, from where there is no loop."""

    async def run() -> Made:
        lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
        try:
            return await act(KeyStore(lane))
        finally:
            await lane.aclose()

    return asyncio.run(run())


def made(settings: Settings, scope: Scope) -> str:
    """A new key of acme with that scope only."""
    return on_store(settings, lambda keys: keys.make("acme", (scope,)))[0]


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client without a key of a running API."""
    with running_api(settings) as http:
        yield http


async def test_a_made_key_is_kept_as_its_hash_only(keys: KeyStore, redis: Redis) -> None:
    """Nothing in Redis can be sent as a key."""
    text, key = await keys.make("acme", ("submit", "read"), "ci", None)
    assert key.id == text[3:11]
    assert text.startswith("dk_")
    assert len(text) == 3 + 8 + 43
    record = redis.hgetall("keys")
    assert list(record) == [digest_of(text).hex().encode()]
    assert all(text[11:].encode() not in part for part in (*record, *record.values()))
    assert (await keys.all())[digest_of(text)] == key


async def test_a_revoked_key_is_gone_and_an_unknown_id_is_said(keys: KeyStore) -> None:
    """The record is removed, the others stay."""
    _, first = await keys.make("acme", ("read",))
    _, second = await keys.make("acme", ("read",))
    assert await keys.revoke(first.id) == first
    assert await keys.revoke(first.id) is None
    assert list((await keys.all()).values()) == [second]


async def test_there_is_a_limit(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every API process holds a copy of all keys."""
    monkeypatch.setattr(key_store, "MOST_KEYS", 2)
    for _ in range(2):
        await keys.make("acme", ("read",))
    with pytest.raises(TooManyKeys):
        await keys.make("acme", ("read",))
    assert len(await keys.all()) == 2


async def test_an_unchanged_set_is_not_read_again(keys: KeyStore, redis: Redis) -> None:
    """Asking often costs one GET."""
    await keys.make("acme", ("read",))
    changed = await keys.changed(None)
    assert changed
    assert await keys.changed(changed[0]) is None
    redis.flushall()
    emptied = await keys.changed(changed[0])
    assert emptied
    assert emptied[1] == {}


async def test_a_scope_of_another_version_gives_no_right(keys: KeyStore, redis: Redis) -> None:
    """Unknown words in a record are left out, not believed."""
    text, _ = await keys.make("acme", ("read",))
    record = redis.hget("keys", digest_of(text).hex())
    redis.hset("keys", digest_of(text).hex(), record.replace(b'"read"', b'"owner"'))
    assert (await keys.all())[digest_of(text)].scopes == ()


async def test_a_fresh_key_works_at_once_and_wrong_ones_share_their_reads(keys: KeyStore, settings: Settings) -> None:
    """However many wrong keys come, Redis is asked a few times a second."""
    ring = KeyRing(configured_keys(settings), keys, now_ms)
    reads = []
    asked = keys.changed

    async def counted(version: bytes | None) -> Any:
        reads.append(version)
        return await asked(version)

    keys.changed = counted  # type: ignore[method-assign]
    text, key = await keys.make("acme", ("read",))
    assert await ring.find(text) == key
    began = time.monotonic()
    found = await asyncio.gather(*(ring.find(new_key()[0]) for _ in range(500)))
    assert set(found) == {None}
    assert len(reads) <= 3
    assert time.monotonic() - began < 2
    before = len(reads)
    assert await ring.find("not-one-of-ours") is None
    assert (await ring.find("acme-key-0123")).tenant == "acme"  # type: ignore[union-attr]
    assert len(reads) == before


async def test_an_expired_key_is_none(keys: KeyStore) -> None:
    """By the clock that the ring is given, without a read."""
    now = now_ms()
    ring = KeyRing({}, keys, lambda: now)
    text, _ = await keys.make("acme", ("read",), "", 60_000)
    assert await ring.find(text)
    now += 61_000
    assert await ring.find(text) is None


async def test_while_redis_is_away_known_keys_work_and_of_others_nothing_is_said(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A valid key is never answered like a wrong one because Redis is away."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    lane = Lane(connect(server.url, 1), 1)
    store = KeyStore(lane)
    ring = KeyRing({}, store, now_ms)
    text, key = await store.make("acme", ("read",))
    assert await ring.find(text) == key
    server.stop()
    assert await ring.find(text) == key
    with pytest.raises(RedisUnavailable):
        await ring.find(new_key()[0])
    assert await ring.find("wrong") is None
    server.start()
    assert await ring.find(new_key()[0]) is None
    await lane.aclose()
    server.stop()


def test_a_key_made_is_known_at_once_and_stops_within_seconds_of_its_end(
    client: httpx.Client, settings: Settings
) -> None:
    """Over the API: a miss is read at once, the copy is refreshed behind it."""
    text, key = on_store(settings, lambda keys: keys.make("acme", ("submit", "read")))
    assert client.post("/v1/jobs", json=BODY, headers=bearer(text)).status_code == 202
    on_store(settings, lambda keys: keys.revoke(key.id))
    began = time.monotonic()
    while client.get("/v1/jobs", headers=bearer(text)).status_code == 200:
        assert time.monotonic() - began < REFRESH_SECONDS + 2
        time.sleep(0.05)
    assert client.get("/v1/jobs", headers=bearer(text)).status_code == 401


def test_wrong_keys_of_every_kind_get_the_same_answer(client: httpx.Client, settings: Settings) -> None:
    """Unknown, revoked, expired, cut off, of another scheme, none at all: byte for byte."""
    revoked, key = on_store(settings, lambda keys: keys.make("acme", ("read",)))
    on_store(settings, lambda keys: keys.revoke(key.id))
    expired, _ = on_store(settings, lambda keys: keys.make("acme", ("read",), "", 0))
    alive, _ = on_store(settings, lambda keys: keys.make("acme", ("read",)))
    wrong = [revoked, expired, alive[:-1], alive.swapcase(), new_key()[0], "x", "configured", "\xff\xfe"]
    answers = [client.get("/v1/jobs", headers={"authorization": f"Bearer {each}".encode("latin-1")}) for each in wrong]
    twice = [("authorization", f"Bearer {alive}"), ("authorization", "Bearer x")]  # a proxy may read the other one
    answers += [client.get("/v1/jobs", headers=twice), client.get("/v1/jobs", headers=twice[::-1])]
    answers += [client.get("/v1/jobs"), client.get("/v1/jobs", headers={"authorization": f"Basic {alive}"})]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(_headers(answer).items())) for answer in answers}) == 1


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "date"}


def _calls_of_v1(settings: Settings) -> list[tuple[str, str]]:
    """Every method and path under /v1 that the application knows, whoever added it."""
    routes = [route for route in _routes(create_app(settings)) if route.path.startswith("/v1")]
    calls = [(method, route.path) for route in routes for method in sorted(route.methods)]
    assert {("POST", "/v1/jobs"), ("HEAD", "/v1/jobs/{job_id}/images/{index}"), ("GET", "/v1/usage")} <= {*calls}
    return calls


def _routes(router: Any) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _routes(getattr(route, "original_router", SimpleNamespace(routes=())))


ADMIN = frozenset(
    {
        ("POST", "/v1/webhook-endpoints/{endpoint_id}/enable"),
        ("GET", "/v1/webhook-secret"),
        ("POST", "/v1/webhook-secret/rotate"),
    }
)
"""Calls that need `admin`; every other GET needs `read`, everything else `submit`."""


def needed(method: str, path: str) -> str:
    if (method, path) in ADMIN:
        return "admin"
    return "read" if method in ("GET", "HEAD") else "submit"


def test_every_call_of_v1_states_its_scope(client: httpx.Client, settings: Settings) -> None:
    """Walks over all routes: without a key 401; without the scope 403 naming it; with it, never either."""
    texts = {scope: made(settings, scope) for scope in key_store.SCOPES}
    for method, template in _calls_of_v1(settings):
        scope = needed(method, template)
        path = re.sub(r"\{\w+\}", ABSENT, template.replace("{index}", "0"))
        assert client.request(method, path).status_code == 401, (method, path)
        for held in ("submit", "read"):
            answer = client.request(method, path, headers=bearer(texts[held]))
            if held == scope:
                assert answer.status_code not in (401, 403), (method, path, held)
            else:
                assert answer.status_code == 403, (method, path, held)
                if method != "HEAD":
                    assert "forbidden" in answer.text  # in the words of the path
                    assert f"`{scope}`" in answer.text
        assert client.request(method, path, headers=bearer(texts["admin"])).status_code not in (401, 403)


def test_openapi_says_of_every_call_that_it_may_be_forbidden(settings: Settings) -> None:
    """With the problem's shape."""
    for path, calls in create_app(settings).openapi()["paths"].items():
        for call in calls.values():
            assert ("403" in call["responses"]) == path.startswith("/v1/"), path


SAME = [
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/deliveries"),
    ("GET", "/images/0"),
    ("HEAD", "/images/0"),
    ("GET", "/images/0?expires=1&signature=x"),
    ("POST", "/cancel"),
    ("POST", "/retry"),
    ("POST", "/resolve"),
    ("DELETE", ""),
]


@pytest.mark.parametrize(("method", "rest"), SAME)
def test_another_tenants_job_is_answered_byte_for_byte_like_none(client: httpx.Client, method: str, rest: str) -> None:
    """Status, headers but the date, body but the id in the address, for every verb and sub-resource."""
    theirs = client.post("/v1/jobs", json=BODY, headers=bearer("acme-key-0123")).json()["id"]
    body = {"action": "fail"} if rest == "/resolve" else None
    ours = bearer("other-key-0123")
    foreign = client.request(method, f"/v1/jobs/{theirs}{rest}", headers=ours, json=body)
    absent = client.request(method, f"/v1/jobs/{ABSENT}{rest}", headers=ours, json=body)
    assert foreign.status_code == absent.status_code == 404
    assert _headers(foreign) == _headers(absent)
    assert foreign.content.replace(theirs.encode(), b"ID") == absent.content.replace(ABSENT.encode(), b"ID")
    assert client.get(f"/v1/jobs/{theirs}", headers=bearer("acme-key-0123")).json()["status"] == "queued"


def test_a_key_is_not_in_what_a_debugger_shows() -> None:
    """A record holds no part of a key but the id."""
    text, key_id = new_key()
    assert text[11:] not in repr(Key(key_id, "acme", ("read",)))


async def test_nothing_of_another_tenants_job_leaves_redis(store: JobStore) -> None:
    """So that it takes no longer to be refused: neither is the record read nor its place in the queue counted."""
    now = store.now()
    order = Order(id=new_job_id(now), tenant="acme", created_at=now, deadline_at=now + 60_000, request=BODY)
    assert (await store.accept([order], Allowance(max_waiting=10))).verdict == "created"
    assert await store.view(order.id, "other") is None
    assert await store.view(order.id, "acme")
    assert await store.view(order.id)
