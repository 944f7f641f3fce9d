"""Telling the caller, decided: what follows from a try, what signs it, whom it goes to."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook

from config.settings import Settings
from worker.job.timing import LATE_SECONDS
from worker.store.jobs import IDEMPOTENCY_MS
from worker.telling.notifier import TIMEOUT_SECONDS
from worker.telling.record import Target
from worker.telling.schedule import LONGEST_RETRY_AFTER_SECONDS, MOST_ROWS_KEPT, SCHEDULE_SECONDS, Next, Try, after_try
from worker.telling.secrets import is_webhook_secret, new_webhook_secret, sign, signature_header

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


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
    at = datetime.fromtimestamp(1614265330, UTC)
    assert signature == Webhook(SECRET).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')


def test_the_official_library_signs_alike() -> None:
    """Over a body with what JSON escapes and what it does not."""
    body = '{"prompt": "caf\u00e9 \\u0000"}'
    theirs = Webhook(SECRET).sign("msg_x", datetime.fromtimestamp(1614265330, UTC), body)
    assert sign(SECRET, "msg_x", 1614265330, body.encode()) == theirs


def test_several_secrets_sign_space_separated() -> None:
    """A receiver takes the message if one of them is its own."""
    other = new_webhook_secret()
    header = signature_header([other, SECRET], "m", 1, b"{}")
    assert header.split(" ") == [sign(other, "m", 1, b"{}"), sign(SECRET, "m", 1, b"{}")]


@pytest.mark.parametrize(
    ("text", "usable"),
    [(SECRET, True), ("whsec_", False), ("whsec_%%%", False), ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", False)],
)
def test_a_secret_is_told_from_what_is_none(text: str, usable: bool) -> None:
    """Before a process starts, and not when the first caller is told."""
    assert is_webhook_secret(text) is usable


def test_an_endpoint_is_the_address_without_query_and_a_host_has_its_port() -> None:
    """So that a token or a job's id in the query does not make an endpoint of its own."""
    one = Target.of("acme", "https://Hooks.example/a?job=1#x")
    two = Target.of("acme", "https://Hooks.example/a?job=2")
    assert (one.endpoint, one.host, one.address) == (two.endpoint, "hooks.example", "https://Hooks.example/a")
    assert Target.of("acme", "https://hooks.example/b").endpoint != one.endpoint
    assert Target.of("acme", "https://hooks.example:8443/a").host == "hooks.example:8443"
    assert Target.of("acme", "http://[broken/").host == ""


def test_the_rows_kept_are_more_than_one_schedule() -> None:
    """Whoever replays sees what was before."""
    assert len(SCHEDULE_SECONDS) < MOST_ROWS_KEPT


def test_a_job_is_kept_until_its_caller_has_been_told_and_its_key_has_ended() -> None:
    """Every try as late as it can be, a late result, the row of an Idempotency-Key: less is refused in one sentence."""
    least = 4 * 86_400
    tries = sum(max(1.2 * pause, LONGEST_RETRY_AFTER_SECONDS) for pause in SCHEDULE_SECONDS[1:])
    assert least >= max(tries + 8 * TIMEOUT_SECONDS, IDEMPOTENCY_MS / 1000, LATE_SECONDS)
    assert Settings(_env_file=None, retention_seconds=least).retention_seconds == least
    with pytest.raises(ValidationError, match="greater than or equal to 345600"):
        Settings(_env_file=None, retention_seconds=least - 1)
