"""How long the upstream asks us to wait: in the body, in words, as a date, bounded, or not at all."""

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.job.answer import NotTaken
from worker.upstream.chosen import PROVIDER
from worker.upstream.modelslab.outcome import LONGEST_WAIT_SECONDS

# on a fresh clone Hypothesis first builds its table of Unicode, which takes seconds on a busy machine
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RECORDINGS = Path(__file__).parent.parent / "recordings"
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.lists(st.text())
)


def error(message: str) -> bytes:
    return json.dumps({"status": "error", "message": message}).encode()


def told(status: str, message: str) -> bytes:
    return json.dumps({"status": status, "id": 1, "message": message}).encode()


def waits(headers: dict[str, str], body: bytes = error("Too many requests")) -> float | None:
    outcome = PROVIDER.judge(429, headers, body)
    assert isinstance(outcome, NotTaken)
    return outcome.retry_after_seconds


def test_the_wait_in_the_body_comes_before_the_header() -> None:
    """The documents put it into the body."""
    assert waits({"retry-after": "5"}, b'{"status":"error","message":"Rate limit","retry_after":30}') == 30


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("submit-error-queue-full", 30), ("submit-error-queue-full-header", 12), ("submit-error-rate-limit-old", 30)],
)
def test_every_recorded_form_of_a_full_queue_says_how_long_to_wait(name: str, seconds: float) -> None:
    """As a number in the body, in the header, in the words of the tips."""
    recording = json.loads((RECORDINGS / f"{name}.json").read_text())
    body = json.dumps(recording["body"]).encode()
    outcome = PROVIDER.judge(recording["http_status"], recording["headers"], body)
    assert isinstance(outcome, NotTaken)
    assert outcome.retry_after_seconds == seconds


@PATIENT
@given(st.dictionaries(st.sampled_from(["retry_after", "tips", "tip"]), ANYTHING))
def test_a_wait_of_any_type_is_a_length_of_time_or_none(fields: dict[str, object]) -> None:
    """What is no number of seconds from 0 on is nothing."""
    seconds = waits({}, json.dumps({"status": "error", "message": "Too many requests"} | fields).encode())
    assert seconds is None or 0 <= seconds < LONGEST_WAIT_SECONDS


def test_the_wait_may_be_words() -> None:
    """The old form says it in a sentence."""
    assert waits({}, b'{"status":"error","message":"Rate limit","tips":"please wait for 30 seconds"}') == 30


def test_the_wait_may_be_a_date() -> None:
    """HTTP allows a date in Retry-After."""
    at = datetime.now(UTC) + timedelta(seconds=90)
    elsewhere, nowhere = at.astimezone(timezone(timedelta(hours=2))), at.replace(tzinfo=None)
    for date in (format_datetime(at, usegmt=True), format_datetime(elsewhere), format_datetime(nowhere)):
        seconds = waits({"retry-after": date})
        assert seconds is not None
        assert 85 < seconds <= 90


def test_a_date_that_is_past_means_now() -> None:
    """A wait is never negative."""
    assert waits({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


@pytest.mark.parametrize("told", ["Mon, 01 Jan 2999 00:00:00 GMT", "9999999"])
def test_a_wait_is_bounded(told: str) -> None:
    """An absurd header cannot park a key for ever."""
    seconds = waits({"retry-after": told})
    assert seconds is not None
    assert seconds <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("told", ["", "soon", "-1", "²", "1.5.2", "12345678", "Mon, 1 Jan 99999999999 0:0:0"])
def test_an_unusable_wait_is_none(told: str) -> None:
    """What cannot be read is not guessed."""
    assert waits({"retry-after": told}) is None
