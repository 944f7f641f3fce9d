"""What a POST came to: the table that decides whether anything may be bought again."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.upstream.outcome import LONGEST_WAIT_SECONDS, NotTaken, Open, Outcome, Reason, Taken, judge_answer

# on a fresh clone Hypothesis first builds its table of Unicode, which takes seconds on a busy machine
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RECORDINGS = Path(__file__).parent.parent / "recordings"
BUSY, KEY, REJECTED = Reason.BUSY, Reason.KEY_REFUSED, Reason.REJECTED

JUDGED: dict[str, str] = {
    "submit-success": "taken",
    "submit-success-nsfw": "taken",
    "submit-success-proxy-links": "taken",
    "submit-success-image-links": "taken",
    "submit-success-links": "taken",
    "submit-success-one-string": "taken",
    "submit-success-base64-url": "taken",
    "submit-success-base64-inline": "taken",
    "submit-success-data-uri": "taken",
    "submit-ready": "taken",
    "submit-processing": "taken",
    "submit-processing-short": "taken",
    "submit-failed": "taken",
    "submit-error-field": REJECTED,
    "submit-error-field-400": REJECTED,
    "submit-error-width": REJECTED,
    "submit-error-height": REJECTED,
    "submit-error-key-old": KEY,
    "submit-error-key": KEY,
    "submit-error-credits": KEY,
    "submit-error-subscription": KEY,
    "submit-error-model-old": REJECTED,
    "submit-error-model": REJECTED,
    "submit-error-queue-full": BUSY,
    "submit-error-queue-full-header": BUSY,
    "submit-error-rate-limit-old": BUSY,
    "submit-error-500": "open",
    "submit-error-503": "open",
    "submit-error-broken-json": REJECTED,
    "submit-wrong-url": Reason.MISCONFIGURED,
}


def error(message: str) -> bytes:
    return json.dumps({"status": "error", "message": message}).encode()


def named(outcome: Outcome) -> str:
    match outcome:
        case Taken():
            return "taken"
        case NotTaken(reason=reason):
            return reason
        case Open():
            return "open"


@pytest.mark.parametrize("name", JUDGED)
def test_every_recorded_submit_answer_is_judged_as_the_table_says(name: str) -> None:
    """The documented answers, each with the outcome that it proves."""
    recording = json.loads((RECORDINGS / f"{name}.json").read_text())
    body = json.dumps(recording["body"]).encode()
    assert named(judge_answer(recording["http_status"], recording["headers"], body)) == JUDGED[name]


def test_no_recording_of_a_submit_is_left_out_of_the_table() -> None:
    """A new recording without an outcome fails here."""
    assert {path.stem for path in RECORDINGS.glob("submit-*.json")} == set(JUDGED)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", "open"),
        (200, b"<html>", "open"),
        (200, b'{"status":"processing","id":12', "open"),
        (200, b'{"status":"surprise"}', "open"),
        (200, b'{"message":""}', "open"),
        (201, b'{"status":"processing","id":1}', "taken"),
        (200, error("Internal server error"), "open"),
        (200, error("Service temporarily unavailable"), "open"),
        (200, error("Request timed out"), "open"),
        (301, b"", Reason.MISCONFIGURED),
        (302, b"<html>", Reason.MISCONFIGURED),
        (404, b"<html>", Reason.MISCONFIGURED),
        (405, b"", Reason.MISCONFIGURED),
        (404, error("Model not found: m"), REJECTED),
        (405, error("not here"), REJECTED),
        (400, b"<html>", "open"),
        (400, error("width must be between 256 and 1024"), REJECTED),
        (413, error("too large"), REJECTED),
        (422, error("prompt is odd"), REJECTED),
        (400, error("Invalid API key"), KEY),
        (401, b"", KEY),
        (402, b"", KEY),
        (403, b"<html>", KEY),
        (429, b"<html>", BUSY),
        (408, error("Request timeout"), "open"),
        (418, error("teapot"), "open"),
        (500, b"", "open"),
        (502, b"<html>", "open"),
        (503, error("Rate limit exceeded"), "open"),
        (504, b"", "open"),
        (520, b"", "open"),
        (524, b"", "open"),
        (100, b"", "open"),
        (429, b'{"status":"processing","id":1}', "open"),
        (403, b'{"status":"success","id":1}', "open"),
        (302, b'{"status":"processing","id":1}', "open"),
        (404, b'{"status":"processing","id":1}', "open"),
    ],
)
def test_an_answer_proves_no_more_than_it_says(status: int, body: bytes, expected: str) -> None:
    """Whatever leaves it open is Open; only a clear refusal is NotTaken."""
    assert named(judge_answer(status, {}, body)) == expected


@pytest.mark.parametrize("model", ["premium", "free-trial", "rate limit", "internal server error", "api key"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_tenants_model_name_does_not_decide_for_everybody(model: str, status: int) -> None:
    """A refusal quotes the model's name; its words must not look like a refused key or a full queue."""
    assert named(judge_answer(status, {}, error(f"Model not found: {model}"))) == REJECTED


@PATIENT
@given(st.integers(100, 599), st.dictionaries(st.just("retry-after"), st.text(max_size=30)), st.binary(max_size=80))
def test_bytes_that_say_nothing_are_never_taken(status: int, headers: dict[str, str], body: bytes) -> None:
    """Noise of any status neither raises nor counts as bought; a noisy 2xx or 5xx is open."""
    outcome = judge_answer(status, headers, body)
    assert not isinstance(outcome, Taken)
    if 200 <= status < 300 or status >= 500:
        assert isinstance(outcome, Open)


@PATIENT
@given(st.sampled_from([408, *range(500, 600)]), st.sampled_from(["error", "failed", "success", "processing"]))
def test_a_failing_server_proves_nothing(status: int, said: str) -> None:
    """A 5xx may stand in front of a server that took the request, whatever its body says."""
    assert isinstance(judge_answer(status, {}, json.dumps({"status": said, "id": 1}).encode()), Open)


def waits(headers: dict[str, str], body: bytes = b"{}") -> float | None:
    outcome = judge_answer(429, headers, body)
    assert isinstance(outcome, NotTaken)
    return outcome.retry_after_seconds


def test_the_wait_in_the_body_comes_before_the_header() -> None:
    """The documents put it into the body."""
    assert waits({"retry-after": "5"}, b'{"status":"error","message":"Rate limit","retry_after":30}') == 30


def test_the_wait_may_be_words() -> None:
    """The old form says it in a sentence."""
    assert waits({}, b'{"status":"error","message":"Rate limit","tips":"please wait for 30 seconds"}') == 30


def test_the_wait_may_be_a_date() -> None:
    """HTTP allows a date in Retry-After."""
    told = waits({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)})
    assert told is not None
    assert 85 < told <= 90


def test_a_date_that_is_past_means_now() -> None:
    """A wait is never negative."""
    assert waits({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


@pytest.mark.parametrize("told", ["Mon, 01 Jan 2999 00:00:00 GMT", "9999999"])
def test_a_wait_is_bounded(told: str) -> None:
    """An absurd header cannot park a key for ever."""
    seconds = waits({"retry-after": told})
    assert seconds is not None
    assert seconds <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("told", ["", "soon", "-1", "²", "1.5.2", "Mon, 1 Jan 99999999999 0:0:0"])
def test_an_unusable_wait_is_none(told: str) -> None:
    """What cannot be read is not guessed."""
    assert waits({"retry-after": told}) is None
