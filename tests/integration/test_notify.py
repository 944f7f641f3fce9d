"""Telling the caller, over real sockets: signed, once at a time, by schedule, never held up by a slow receiver."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis
from standardwebhooks import Webhook

from config.settings import Settings
from tests.support.receiver import Receiver
from worker.composition import delivery_store
from worker.store.lane import Lane, connect
from worker.telling.deliveries import CLAIM_MS
from worker.telling.notifier import TIMEOUT_SECONDS, Notifier
from worker.telling.record import Claim, Target
from worker.telling.schedule import Next
from worker.telling.secrets import WebhookSecrets

pytestmark = pytest.mark.leaves_keys("its delivery is of no job: what is asked is how it travels")
ID = "msg_01M859N4P0ZK88SXJWVC1PBXXR_2"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@asynccontextmanager
async def opened(settings: Settings, redis: Redis) -> AsyncIterator[Notifier]:
    """A notifier with these settings, and one pending delivery."""
    redis.hset(f"delivery:{ID}", mapping={"job": "01M859N4P0ZK88SXJWVC1PBXXR", "tenant": "acme", "state": "pending"})
    redis.zadd("deliveries:due", {ID: 1})
    lane = Lane(connect(settings.redis_url.get_secret_value(), 5), 5)
    made = Notifier(settings, delivery_store(settings, lane), WebhookSecrets(settings, lane))
    yield made
    await made.aclose()
    await lane.aclose()


@pytest.fixture
async def notifier(settings: Settings, redis: Redis) -> AsyncIterator[Notifier]:
    """A notifier as the test installation has it."""
    async with opened(settings, redis) as made:
        yield made


async def claimed(notifier: Notifier, url: str) -> tuple[Claim, Target]:
    target = Target.of("acme", url)
    claim = await notifier.deliveries.claim(ID, target)
    assert claim.verdict == "claimed"
    return claim, target


async def told(notifier: Notifier, url: str) -> Next:
    """One try, as a worker makes it."""
    return await notifier.send(*await claimed(notifier, url), {"id": "x"})


async def test_what_is_told_verifies_with_the_official_library(
    notifier: Notifier, receiver: Receiver, settings: Settings
) -> None:
    """With the secret that was made at the first start."""
    assert (await told(notifier, receiver.url)).state == "delivered"
    headers, body = receiver.requests[0]
    [secret] = await WebhookSecrets(settings, notifier.deliveries._lane).shared()
    assert Webhook(secret).verify(body, headers) == {"id": "x"}
    assert headers["webhook-id"] == ID


async def test_a_rotated_setting_sends_both_signatures(settings: Settings, redis: Redis, receiver: Receiver) -> None:
    """Old and new verify alike."""
    other = "whsec_" + "QUJD" * 11
    both = settings.model_copy(update={"webhook_secret": type(settings.webhook_secret)(f"{SECRET},{other}")})
    async with opened(both, redis) as notifier:
        await told(notifier, receiver.url)
    headers, body = receiver.requests[0]
    for secret in (SECRET, other):
        assert Webhook(secret).verify(body, headers) == {"id": "x"}


async def test_a_tenants_rotated_secret_signs_with_the_one_before_it_for_a_day(
    notifier: Notifier, receiver: Receiver, settings: Settings, redis: Redis
) -> None:
    """First with the shared one, then with its own, two signatures each time; another tenant sees nothing of it."""
    secrets = WebhookSecrets(settings, notifier.deliveries._lane)
    now = int(time.time() * 1000)
    [shared] = await secrets.shared()
    first = (await secrets.rotate("acme")).secrets[0]
    second = await secrets.rotate("acme")
    assert (len(second.secrets), second.secrets[1:].count(first), second.own) == (3, 1, True)
    await told(notifier, receiver.url)
    headers, body = receiver.requests[0]
    assert len(headers["webhook-signature"].split(" ")) == 3
    for secret in (shared, first, second.secrets[0]):
        assert Webhook(secret).verify(body, headers) == {"id": "x"}
    assert second.previous_until and 23.9 < (second.previous_until - now) / 3_600_000 < 24.1
    assert (await secrets.of("other")).secrets == (shared,)
    for old in (shared, first):  # a day later
        redis.zadd("webhook_secret:acme", {old: now - 1})
    assert (await secrets.of("acme")).secrets == second.secrets[:1]


async def test_one_of_many_messages_of_a_delivery_makes_a_try(notifier: Notifier) -> None:
    """Duplicates must not use up the schedule."""
    target = Target.of("acme", "http://127.0.0.1:1/x")
    claims = await asyncio.gather(*(notifier.deliveries.claim(ID, target) for _ in range(20)))
    assert [each.verdict for each in claims].count("claimed") == 1


async def test_a_failed_try_is_a_row_and_the_next_one_waits_for_its_time(
    notifier: Notifier, receiver: Receiver, redis: Redis
) -> None:
    """A message that comes too early gets nothing; the id stays the same."""
    receiver.status = 500
    await told(notifier, receiver.url)
    assert (await notifier.deliveries.claim(ID, Target.of("acme", receiver.url))).verdict == "none"
    found = await notifier.deliveries.read(ID)
    assert found is not None
    assert [(row["status"], 4000 <= row["next_at"] - row["at"] <= 8000) for row in found.attempts] == [(500, True)]
    redis.hset(f"delivery:{ID}", "not_before", 0)
    receiver.status = 200
    assert (await told(notifier, receiver.url)).state == "delivered"
    assert redis.zscore("deliveries:due", ID) is None
    assert {headers["webhook-id"] for headers, _ in receiver.requests} == {ID}


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "http://127.0.0.1:1/x", "http://[::1]/x", "ftp://a/x"])
async def test_an_address_that_is_not_public_is_never_dialled(settings: Settings, redis: Redis, url: str) -> None:
    async with opened(settings.model_copy(update={"allow_private_addresses": False}), redis) as notifier:
        await told(notifier, url)
        found = await notifier.deliveries.read(ID)
    assert found is not None
    assert (found.attempts[0]["status"], found.attempts[0]["error"]) == (None, "ConnectError")


async def test_where_only_https_is_allowed_nothing_is_sent_over_plain_http(
    settings: Settings, redis: Redis, receiver: Receiver
) -> None:
    async with opened(settings.model_copy(update={"webhooks_https_only": True}), redis) as notifier:
        assert (await told(notifier, receiver.url)).state == "pending"
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://xn--a/",
        "http://a..b/",
        "http://" + "a" * 70 + ".example/",
        "http://[broken/",
        "http://a:99999/",
        "http://\u2024/",
        "nonsense",
    ],
)
async def test_an_address_that_no_parser_likes_is_a_failed_try(notifier: Notifier, url: str) -> None:
    """idna, httpx and yarl each have errors of their own: none of them may escape, or it would be tried for ever."""
    assert (await told(notifier, url)).state == "pending"
    found = await notifier.deliveries.read(ID)
    assert found is not None
    assert [(row["status"], bool(row["error"])) for row in found.attempts] == [(None, True)]


async def test_a_redirect_to_nowhere_is_a_failed_try(notifier: Notifier) -> None:
    """A 3xx is a failure, also one whose Location cannot be read."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://[broken/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await told(notifier, f"http://127.0.0.1:{port}/")).state == "pending"
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

    monkeypatch.setattr("worker.telling.notifier.TIMEOUT_SECONDS", 1.0)
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    following = await told(notifier, f"http://127.0.0.1:{port}/")
    assert (following.state, time.monotonic() - began < 3) == ("pending", True)
    server.close()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n", b""])
async def test_of_a_gigabyte_the_first_bytes_are_kept_and_a_reset_is_a_row(notifier: Notifier, head: bytes) -> None:
    """What a receiver sends costs no memory; one that hangs up mid-way has not taken it."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(head)
            while head:
                writer.write(b"y" * 65_536)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    following = await told(notifier, f"http://127.0.0.1:{port}/")
    found = await notifier.deliveries.read(ID)
    assert found is not None
    row = found.attempts[0]
    if head:
        assert (following.state, row["answer"]) == ("delivered", "y" * 200)
    else:
        assert (following.state, row["status"], bool(row["error"])) == ("pending", None, True)
    server.close()


async def test_a_receiver_that_hangs_is_given_up_in_time_and_counted_as_hanging(
    settings: Settings, redis: Redis, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setup: a shorter time-out. Proves: the row, the next try, and that the endpoint is known to hang."""
    monkeypatch.setattr("worker.telling.notifier.TIMEOUT_SECONDS", 0.3)
    async with opened(settings, redis) as notifier:
        following = await told(notifier, receiver.url.replace("/told", "/hang"))
    assert (following.state, receiver.hanging) == ("pending", [ID])
    [endpoint] = redis.keys("endpoint:acme:*")
    assert redis.hget(endpoint, "hung") == b"1"


def test_a_try_ends_when_the_contract_says_and_its_claim_later() -> None:
    """15 s for an answer; a claim that ended sooner would let a second worker tell meanwhile."""
    assert TIMEOUT_SECONDS == 15
    assert CLAIM_MS >= 2 * TIMEOUT_SECONDS * 1000
