"""What a POST came to: the table that decides whether anything may be bought again."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.upstream.chosen import PROVIDER

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
    assert named(PROVIDER.judge(recording["http_status"], recording["headers"], body)) == JUDGED[name]


def test_no_recording_of_a_submit_is_left_out_of_the_table() -> None:
    """A new recording without an outcome fails here."""
    assert {path.stem for path in RECORDINGS.glob("submit-*.json")} == set(JUDGED)


HTML, HALF = b"<!doctype html><title>Sign in</title>", b'{"status":"processing","id":12'
LOCATION, FROM_THE_EDGE = {"location": "https://login.example/"}, {"server": "cloudflare"}
OPEN, MISCONFIGURED, UNREACHABLE = "open", Reason.MISCONFIGURED, Reason.UNREACHABLE

STATUSES: dict[str, tuple[tuple[int, ...], dict[str, str]]] = {
    "2xx": ((200, 201, 202, 299), {}),
    "3xx": ((300, 301, 302, 303, 304, 305), LOCATION),
    "moved": ((307, 308), LOCATION),
    "moved nowhere": ((307, 308), {}),
    "refused": ((400, 404, 405, 409, 410, 413, 414, 415, 422), {}),
    "key": ((401, 402, 403), {}),
    "429": ((429,), {}),
    "other 4xx": ((406, 408, 411, 418, 425, 451, 499), {}),
    "5xx": ((500, 501, 502, 503, 504, 511, 520, 522, 524, 527, 599), FROM_THE_EDGE),
    "like the edge": ((521, 523, 525, 526), {"server": "nginx"}),
    "the edge": ((521, 523, 525, 526), FROM_THE_EDGE),
}
SHAPES: dict[str, bytes] = {
    "success": b'{"status":"success","id":1,"output":["https://cdn/a.png"]}',
    "processing": b'{"status":"processing","id":1}',
    "failed": b'{"status":"failed","id":"","message":"out of memory"}',
    "refusal": error("width must be between 256 and 1024"),
    "fields": b'{"status":"error","message":{"prompt":["no rate limit, no api key, no server error"]}}',
    "queue full": error("Rate limit exceeded. Maximum 5 queued requests allowed."),
    "bad key": error("Invalid API key"),
    "server": error("Internal server error. Please try again."),
    "wordless": b'{"status":"error"}',
    "wrong url": b'{"message":""}',
    "gateway": b'{"message":"Forbidden"}',
    "other json": b'[{"status":"error","message":"no"}]',
    "html": HTML,
    "half": HALF,
    "nothing": b"",
}
PROVEN: dict[tuple[str, str], str] = {
    **{("2xx", shape): "taken" for shape in ("success", "processing", "failed")},
    **{(of, shape): REJECTED for of in ("2xx", "refused") for shape in ("refusal", "fields")},
    **{(of, "queue full"): BUSY for of in ("2xx", "refused")},
    **{(of, "bad key"): KEY for of in ("2xx", "refused")},
    ("refused", "failed"): REJECTED,
    **{("key", shape): KEY for shape in ("failed", "refusal", "fields", "queue full", "bad key", "server")},
    **{("429", shape): BUSY for shape in ("failed", "refusal", "fields", "queue full", "bad key", "server")},
    **{
        (of, "wrong url"): MISCONFIGURED for of in ("2xx", "3xx", "moved nowhere", "refused", "key", "429", "other 4xx")
    },
    **{("moved", shape): MISCONFIGURED for shape in SHAPES if shape not in ("success", "processing")},
    **{("the edge", shape): UNREACHABLE for shape in SHAPES if shape not in ("success", "processing")},
}
"""What is proven, by status and shape of the body. Whatever is not in it leaves the request open: it may be bought."""


@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=utf-8", None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("of", STATUSES)
def test_every_status_with_every_body_proves_what_the_table_says_and_no_more(
    of: str, shape: str, content_type: str | None
) -> None:
    """Complete over status, content type and shape: only the provider's own words are a refusal."""
    statuses, headers = STATUSES[of]
    given = headers | ({"content-type": content_type} if content_type else {})
    judged = {status: named(PROVIDER.judge(status, given, SHAPES[shape])) for status in statuses}
    assert judged == dict.fromkeys(statuses, PROVEN.get((of, shape), OPEN))


def test_the_table_has_every_status_that_an_answer_may_have() -> None:
    """Those that it does not name are judged as their neighbours are: a status we never heard of proves nothing."""
    named_ones = {status for statuses, _ in STATUSES.values() for status in statuses}
    for status in set(range(100, 600)) - named_ones - set(range(200, 300)):
        for shape in set(SHAPES) - {"wrong url"}:
            assert named(PROVIDER.judge(status, {}, SHAPES[shape])) == OPEN, (status, shape)


def told(status: str, message: str) -> bytes:
    return json.dumps({"status": status, "id": 1, "message": message}).encode()


AT_THE_ADDRESS = "from the upstream's address"
RECORDED: list[tuple[int, dict[str, str], bytes, Outcome]] = [
    (200, {}, told("processing", "soon"), Taken(Answer("processing", request_id="1", message="soon"))),
    (200, {}, told("failed", "no memory"), Taken(Answer("failed", request_id="1", message="no memory"))),
    (200, {}, error("Rate limit exceeded"), NotTaken(BUSY, "Rate limit exceeded")),
    (200, {"retry-after": "7"}, error("Queue is full"), NotTaken(BUSY, "Queue is full", 7.0)),
    (422, {"retry-after": "7"}, error("Queue is full"), NotTaken(BUSY, "Queue is full", 7.0)),
    (429, {"retry-after": "7"}, error("Slow down"), NotTaken(BUSY, "Slow down", 7.0)),
    (200, {}, error("Invalid API key"), NotTaken(KEY, "Invalid API key")),
    (403, {}, error("No"), NotTaken(KEY, "No")),
    (400, {}, error("width must be less"), NotTaken(REJECTED, "width must be less")),
    (200, {}, b'{"message":""}', NotTaken(MISCONFIGURED, "the upstream's address answers without a status")),
    (404, {}, b'{"message":""}', NotTaken(MISCONFIGURED, f"HTTP 404 {AT_THE_ADDRESS}")),
    (308, LOCATION, HTML, NotTaken(MISCONFIGURED, f"HTTP 308 {AT_THE_ADDRESS}")),
    (523, FROM_THE_EDGE, HTML, NotTaken(UNREACHABLE, "HTTP 523 from the edge before the upstream")),
    (200, {}, error("Internal server error"), Open("server_error", "Internal server error")),
    (200, {}, b'{"message":"Forbidden"}', Open("unreadable_answer", "Forbidden")),
    (404, {}, told("success", "done"), Open("contradictory_http_404", "done")),
    (503, {}, error("Busy"), Open("http_503", "Busy")),
    (502, {}, b'{"message":"Bad gateway"}', Open("http_502", "Bad gateway")),
]


@pytest.mark.parametrize(("status", "headers", "body", "outcome"), RECORDED)
def test_what_is_recorded_says_what_was_answered(
    status: int, headers: dict[str, str], body: bytes, outcome: Outcome
) -> None:
    """One word for the record, the upstream's own words, its wait: whoever reads the job later needs no log."""
    assert PROVIDER.judge(status, headers, body) == outcome


@pytest.mark.parametrize("field", ["premium", "api_key", "credit"])
def test_a_field_that_is_named_in_a_refusal_says_nothing_of_the_key(field: str) -> None:
    """The upstream names what it refuses first: that is the caller's field, whatever it is called."""
    body = json.dumps({"status": "error", "message": {field: ["is no field"]}}).encode()
    assert named(PROVIDER.judge(200, {}, body)) == REJECTED


@pytest.mark.parametrize(
    ("message", "echoes"),
    [
        ("plan is not allowed", ["plan"]),
        ("an api key with a cat is not allowed", ["with", "an api key with a cat"]),
        ("an api key with a cat is not allowed", ["an api key with a cat", "with"]),
    ],
)
def test_an_echo_is_taken_out_whole(message: str, echoes: list[str]) -> None:
    """The longest first, so that a shorter text in it leaves no part of it behind; four letters are enough for one."""
    assert named(PROVIDER.judge(200, {}, error(message), echoes)) == REJECTED


@pytest.mark.parametrize(
    "echo", ["trial of the free credit", "rate limit", "an unauthorized premium plan", "internal server error"]
)
@pytest.mark.parametrize("form", ["The prompt '{}' is not allowed", "{} is not allowed", "prompt: {}"])
def test_a_callers_words_decide_nothing_about_the_key(form: str, echo: str) -> None:
    """A refusal that repeats the prompt is a refusal of that prompt, for nobody else's account or queue."""
    assert named(PROVIDER.judge(200, {}, error(form.format(echo)), [echo, "m", "512"])) == REJECTED


@pytest.mark.parametrize("form", ["Invalid prompt {}", "{} is not allowed"])
def test_an_echo_that_is_longer_than_the_message_we_keep_is_taken_out(form: str) -> None:
    """Found by the fuzzer: only 500 characters of a message are kept, and a longer prompt is not in them as a whole."""
    prompt = "a rate limit " * 60
    assert named(PROVIDER.judge(200, {}, error(form.format(prompt)), [prompt])) == REJECTED


@pytest.mark.parametrize("letter", ["e", "a", "lim", ""])
def test_a_short_word_of_the_callers_hides_no_full_queue(letter: str) -> None:
    """A model called "e" must not cut the letter out of the upstream's sentence."""
    assert named(PROVIDER.judge(200, {}, error("Rate limit exceeded"), [letter])) == BUSY


@pytest.mark.parametrize("model", ["premium", "free-trial", "rate limit", "internal server error", "api key"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_tenants_model_name_does_not_decide_for_everybody(model: str, status: int) -> None:
    """A refusal quotes the model's name; its words must not look like a refused key or a full queue."""
    assert named(PROVIDER.judge(status, {}, error(f"Model not found: {model}"))) == REJECTED


@PATIENT
@given(st.integers(100, 599), st.dictionaries(st.just("retry-after"), st.text(max_size=30)), st.binary(max_size=80))
def test_bytes_that_say_nothing_are_never_taken(status: int, headers: dict[str, str], body: bytes) -> None:
    """Noise of any status neither raises nor counts as bought; a noisy 2xx or 5xx is open."""
    outcome = PROVIDER.judge(status, headers, body)
    assert not isinstance(outcome, Taken)
    if 200 <= status < 300 or status >= 500:
        assert isinstance(outcome, Open)


@PATIENT
@given(st.sampled_from([408, *range(500, 600)]), st.sampled_from(["error", "failed", "success", "processing"]))
def test_a_failing_server_proves_nothing(status: int, said: str) -> None:
    """A 5xx may stand in front of a server that took the request, whatever its body says."""
    assert isinstance(PROVIDER.judge(status, {}, json.dumps({"status": said, "id": 1}).encode()), Open)
