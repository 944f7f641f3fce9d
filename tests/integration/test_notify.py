"""Telling the caller, over real sockets: signed, once at a time, by schedule, never held up by a slow receiver."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis
from standardwebhooks import Webhook

from config.settings import Settings
from tests.support.receiver import Receiver
from worker.lane import Lane, connect
from worker.notify import SCHEDULE_SECONDS, Next, Notifier, Try, after_try, sign

ID = "msg_01M859N4P0ZK88SXJWVC1PBXXR_2"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A caller's receiver."""
    with Receiver() as receiving:
        yield receiving


@pytest.fixture
async def notifier(settings: Settings, redis: Redis) -> AsyncIterator[Notifier]:
    """A notifier, and one pending delivery."""
    redis.hset(f"delivery:{ID}", mapping={"job": "01M859N4P0ZK88SXJWVC1PBXXR", "tenant": "acme", "state": "pending"})
    redis.zadd("deliveries:due", {ID: 1})
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    made = Notifier(settings, lane)
    yield made
    await made.aclose()
    await lane.aclose()


def answered(status: int | None, retry_after: float | None = None) -> Try:
    return Try(status, None if status else "ConnectError", "", 0.1, retry_after)


@pytest.mark.parametrize(
    ("tries", "last", "following"),
    [
        (1, answered(200), Next("delivered")),
        (1, answered(204), Next("delivered")),
        (1, answered(410), Next("gone")),
        (1, answered(302), Next("pending", 5.0)),
        (1, answered(500), Next("pending", 5.0)),
        (1, answered(None), Next("pending", 5.0)),
        (2, answered(500), Next("pending", 300.0)),
        (1, answered(429, 60), Next("pending", 60.0)),
        (1, answered(503, 10**9), Next("pending", 36_000.0)),
        (1, answered(500, 60), Next("pending", 5.0)),
        (len(SCHEDULE_SECONDS), answered(500), Next("exhausted")),
    ],
)
def test_what_follows_from_a_try(tries: int, last: Try, following: Next) -> None:
    """2xx is delivered, 3xx a failure, 410 the end, 429 and 503 may ask for time, the schedule ends."""
    assert after_try(tries, last, 0.5) == following


def test_the_signature_is_the_specifications_own_test_vector() -> None:
    """Standard Webhooks 1.0.0."""
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_what_is_told_verifies_with_the_official_library(notifier: Notifier, receiver: Receiver) -> None:
    """With the secret that was made at the first start."""
    delivery = await notifier.claim(ID)
    assert delivery is not None
    assert (await notifier.send(delivery, receiver.url, {"id": "x"})).state == "delivered"
    headers, body = receiver.requests[0]
    [secret] = await notifier.signing_secrets()
    assert Webhook(secret).verify(body, headers) == {"id": "x"}
    assert headers["webhook-id"] == ID


async def test_a_rotated_secret_sends_both_signatures(settings: Settings, redis: Redis, receiver: Receiver) -> None:
    """Old and new verify alike."""
    other = "whsec_" + "QUJD" * 11
    both = settings.model_copy(update={"webhook_secret": type(settings.webhook_secret)(f"{SECRET},{other}")})
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    notifier = Notifier(both, lane)
    redis.hset(f"delivery:{ID}", mapping={"job": "j", "state": "pending"})
    delivery = await notifier.claim(ID)
    assert delivery is not None
    await notifier.send(delivery, receiver.url, {"id": "x"})
    headers, body = receiver.requests[0]
    for secret in (SECRET, other):
        assert Webhook(secret).verify(body, headers) == {"id": "x"}
    await notifier.aclose()
    await lane.aclose()


async def test_one_of_many_messages_of_a_delivery_makes_a_try(notifier: Notifier) -> None:
    """Duplicates must not use up the schedule."""
    claims = await asyncio.gather(*(notifier.claim(ID) for _ in range(20)))
    assert sum(each is not None for each in claims) == 1


async def test_a_failed_try_is_a_row_and_the_next_one_waits_for_its_time(
    notifier: Notifier, receiver: Receiver, redis: Redis
) -> None:
    """A message that comes too early gets nothing; the id stays the same."""
    receiver.status = 500
    delivery = await notifier.claim(ID)
    assert delivery is not None
    await notifier.send(delivery, receiver.url, {"id": "x"})
    assert await notifier.claim(ID) is None
    rows: list[dict[str, Any]] = json.loads(redis.hget(f"delivery:{ID}", "attempts"))  # type: ignore[arg-type]
    assert [(row["status"], 4 <= row["next_in"] <= 6) for row in rows] == [(500, True)]
    redis.hset(f"delivery:{ID}", "not_before", 0)
    receiver.status = 200
    again = await notifier.claim(ID)
    assert again is not None
    assert (await notifier.send(again, receiver.url, {"id": "x"})).state == "delivered"
    assert redis.zscore("deliveries:due", ID) is None
    assert {headers["webhook-id"] for headers, _ in receiver.requests} == {ID}


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "http://127.0.0.1:1/x", "http://[::1]/x", "ftp://a/x"])
async def test_an_address_that_is_not_public_is_never_dialled(settings: Settings, redis: Redis, url: str) -> None:
    """And the row does not say why."""
    strict = settings.model_copy(update={"allow_private_addresses": False})
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    notifier = Notifier(strict, lane)
    redis.hset(f"delivery:{ID}", mapping={"job": "j", "state": "pending"})
    delivery = await notifier.claim(ID)
    assert delivery is not None
    await notifier.send(delivery, url, {"id": "x"})
    row = json.loads(redis.hget(f"delivery:{ID}", "attempts"))[0]  # type: ignore[arg-type]
    assert row["status"] is None
    assert row["error"] in ("AddressRefused", "ConnectError")
    await notifier.aclose()
    await lane.aclose()


async def test_a_redirect_to_nowhere_is_a_failed_try(notifier: Notifier) -> None:
    """A 3xx is a failure, also one whose Location cannot be read."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://[broken/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    delivery = await notifier.claim(ID)
    assert delivery is not None
    assert (await notifier.send(delivery, f"http://127.0.0.1:{port}/", {"id": "x"})).state == "pending"
    server.close()


async def test_an_answer_that_drips_ends_with_the_time_for_one_try(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold a worker's thread for ever."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            return
        finally:
            writer.close()

    monkeypatch.setattr("worker.notify.TIMEOUT_SECONDS", 1.0)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    delivery = await notifier.claim(ID)
    assert delivery is not None
    began = time.monotonic()
    following = await notifier.send(delivery, f"http://127.0.0.1:{port}/", {"id": "x"})
    assert (following.state, time.monotonic() - began < 3) == ("pending", True)
    server.close()
