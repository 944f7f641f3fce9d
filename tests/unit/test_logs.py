"""What is secret is taken out of a text, and what is none stays readable."""

from typing import Any

import pytest

from config.logs import MASK, Redactor
from config.settings import Settings

REDACTOR = Redactor(
    Settings(
        _env_file=None,
        redis_url="redis://user:canary-red%23is@redis.internal:6379/0",
        secret="canary-old-secret,canary-new-secret",
        api_keys="photographers:canary-api-key,others:canary-api-two",
        upstream_key="https://eu.example/api|canary-key-eu,canary-key-us",
        webhook_secret="whsec_canaryd2ViaG9vaw==",
    )
)
SECRETS = (
    "canary-red%23is",
    "canary-red#is",
    "canary-old-secret",
    "canary-new-secret",
    "canary-api-key",
    "canary-api-two",
    "canary-key-eu",
    "canary-key-us",
    "canaryd2ViaG9vaw==",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda secret: secret,
        lambda secret: f"said '{secret}'",
        lambda secret: {"deep": [{secret: (1, secret)}]},
        lambda secret: ValueError(secret),
        lambda secret: frozenset({secret}),
    ],
    ids=["bare", "within", "nested", "an error", "a set"],
)
def test_a_configured_secret_is_masked_wherever_it_is(secret: str, wrap: Any) -> None:
    """As a fact of its own, inside a text, deep in a structure, in the repr of an object."""
    cleaned = repr(REDACTOR(None, "", {"event": "e", "fact": wrap(secret)}))
    assert secret not in cleaned
    assert MASK in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer dk_some.other-key",
        "POST /webhooks/modelslab/01ABC-1.k9_Zz-aa",
        "GET /v1/jobs/1/images/0?expires=1&signature=k9_Zz-aa",
        "whsec_k9Zzaa==",
    ],
)
def test_what_is_secret_by_its_shape_is_masked_though_we_did_not_issue_it(text: str) -> None:
    """Tokens, signatures and keys of others."""
    cleaned = REDACTOR.redact(text)
    assert cleaned.endswith(MASK)
    assert "Zz" not in cleaned
    assert "other" not in cleaned


@pytest.mark.parametrize("text", ["photographers", "redis.internal", "https://eu.example/api", "the sandbox is up"])
def test_tenants_and_addresses_stay_readable(text: str) -> None:
    """They stand beside secrets in the same settings and are none."""
    assert REDACTOR.redact(text) == text


def test_numbers_and_nothing_stay_what_they_are() -> None:
    """A dashboard adds them up."""
    assert REDACTOR(None, "", {"attempt": 1, "ok": True, "s": 0.5, "by": None}) == {
        "attempt": 1,
        "ok": True,
        "s": 0.5,
        "by": None,
    }
