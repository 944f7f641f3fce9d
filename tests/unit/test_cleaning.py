"""The filter on the upstream's words: however it spells what is ours, it is not in what is kept."""

import html
import json
import string
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import Settings
from tests.support.jobs import JOB_ID
from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.upstream.callback_url import callback_url
from worker.upstream.cleaning import Cleaner
from worker.upstream.secret_parts import MASK, RUN_CHARACTERS

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TRACK_ID = f"{JOB_ID}-1"
KEY = "Kx7/pQ+2mZ_canary-91vB%41nn"
SETTINGS = Settings(
    _env_file=None,
    secret=SecretStr("older-secret-0123456789,newer-secret-0123456789"),
    public_url="https://darkroom.example",
    redis_url=SecretStr("redis://:hunter2@redis-main.example:6379/0"),
    s3_endpoint="https://minio.example:9000",
)
CLEANER = Cleaner(SETTINGS, lambda: [KEY, "sandbox"])
ADDRESS = callback_url(SETTINGS, TRACK_ID)
TOKEN = ADDRESS.rpartition("/")[2]


def letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def parts(secret: str) -> set[str]:
    plain = letters(secret)
    return {plain[at : at + RUN_CHARACTERS] for at in range(len(plain) - RUN_CHARACTERS + 1)}


def leaks(secret: str, shown: str) -> bool:
    return any(part in letters(each) for part in parts(secret) for each in (shown, html.unescape(unquote(shown))))


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in small letters": str.lower,
    "percent-encoded": lambda text: quote(text, safe=""),
    "every letter percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "twice percent-encoded": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON in numbers": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text),
    "HTML": html.escape,
    "HTML in numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "in groups": lambda text: " ".join(text[at : at + 4] for at in range(0, len(text), 4)),
    "over lines": "\n".join,
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 of a header": lambda text: urlsafe_b64encode(f"user:{text}".encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "its end": lambda text: f"...{text[len(text) // 3 :]}",
    "its begin": lambda text: f"{text[: len(text) // 2]}...",
}
AROUND = st.text(st.sampled_from(string.printable + "é“«"), max_size=30)


@PATIENT
@given(
    before=AROUND, after=AROUND, spelling=st.sampled_from(sorted(SPELLINGS)), outer=st.sampled_from(sorted(SPELLINGS))
)
def test_whatever_the_upstream_puts_around_our_key_the_key_is_not_kept(
    before: str, after: str, spelling: str, outer: str
) -> None:
    """Two spellings around each other, in any text."""
    if "base64" in outer or outer == "hexadecimal":
        outer = "as it is"
    message = before + SPELLINGS[outer](SPELLINGS[spelling](KEY)) + after
    assert not leaks(KEY, CLEANER.text(message, TRACK_ID))


@PATIENT
@given(
    key=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=RUN_CHARACTERS, max_size=60),
    before=AROUND,
    after=AROUND,
)
def test_any_key_is_not_kept(key: str, before: str, after: str) -> None:
    """It is found by its letters and digits, so it must have some."""
    if len(letters(key)) < RUN_CHARACTERS:
        return
    assert not leaks(key, Cleaner(SETTINGS, lambda: [key]).text(before + key + after))


@PATIENT
@given(before=AROUND, after=AROUND, spelling=st.sampled_from(sorted(SPELLINGS)), whole=st.booleans())
def test_a_callback_token_is_not_kept(before: str, after: str, spelling: str, whole: bool) -> None:
    """In its address or alone, whole or in part."""
    shown = CLEANER.text(before + SPELLINGS[spelling](ADDRESS if whole else TOKEN) + after, TRACK_ID)
    assert not leaks(TOKEN.rpartition(".")[2], shown)


@pytest.mark.parametrize("form", ["{}", "see {}.", '"{}"', "<a href='{}'>", "{}?x=1", "at {} and more"])
@pytest.mark.parametrize("what", [ADDRESS, TOKEN, ADDRESS[:-20], TOKEN.rpartition(".")[2]])
def test_another_attempts_address_and_token_are_known_by_their_form(form: str, what: str) -> None:
    """A callback may be about one attempt and name another one's token; whoever cut it off has left a part."""
    shown = CLEANER.text(form.format(what), "")
    assert MASK in shown
    assert TOKEN[-43:-20] not in shown


INTERNAL = [
    "10.0.0.7", "10.0.0.7:6379", "127.0.0.1:8000", "169.254.169.254", "192.168.1.4", "172.16.0.9", "[::1]:8000", "::1",
    "fd00::12", "::ffff:10.0.0.1", "localhost", "localhost:8000", "db.internal", "api.prod.svc.cluster.local:80",
    "printer.lan", "redis-main.example", "redis-main.example:6379", "minio.example:9000", "MINIO.example",
]  # fmt: skip


@pytest.mark.parametrize("form", ["{}", "cannot reach {} now", "http://{}/path", "({})", "'{}'", "host={}, why?"])
@pytest.mark.parametrize("host", INTERNAL)
def test_a_host_of_our_network_is_not_kept(host: str, form: str) -> None:
    shown = CLEANER.text(form.format(host))
    assert shown == form.format(MASK)


def test_a_host_without_a_dot_is_internal_where_it_is_an_address() -> None:
    assert CLEANER.text("POST http://egress:3128/x failed, redis too") == f"POST http://{MASK}/x failed, redis too"


HARMLESS = [
    "Invalid API key", "Model not found: midjourney", "width must be between 256 and 1024", "at 12:30:45 it was done",
    "Rate limit exceeded. Maximum 5 queued requests allowed.", "see https://modelslab.com/docs/a?b=c#d", "8.8.8.8",
    "http://8.8.8.8:80/a", "2606:4700::1111", "version 1.2.3 (build 7)", "100% of “it” &amp; more", "a: b; c: d",
    "https://cdn.example.org/generations/0-8f2c.png", "local.example.org", "key: value", "C:\\temp", "ratio 16:9", "::",
    "sandbox",
]  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_words_that_are_not_ours_are_kept_as_they_came(text: str) -> None:
    assert CLEANER.text(text, TRACK_ID) == text


OUTCOMES: list[Outcome] = [
    NotTaken(Reason.REJECTED, KEY, 3.0),
    Open("http_503", KEY),
    Taken(Answer("failed", request_id="77", message=KEY)),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_is_cleaned_and_nothing_else_of_it_changes(outcome: Outcome) -> None:
    cleaned = CLEANER.outcome(outcome, TRACK_ID)
    assert KEY not in repr(cleaned)
    assert repr(cleaned).replace(MASK, KEY) == repr(outcome)


@pytest.mark.parametrize("request_id", [KEY, TOKEN, f"x{TOKEN}"])
def test_a_request_id_that_is_ours_is_none(request_id: str) -> None:
    assert CLEANER.answer(Answer("success", request_id=request_id), TRACK_ID).request_id is None
