"""Every recorded answer, and whatever else may come, in one clean shape."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.job.answer import Answer
from worker.upstream.accounts import Account
from worker.upstream.chosen import PROVIDER
from worker.upstream.modelslab.wire import MESSAGE_CHARACTERS

# on a fresh clone Hypothesis first builds its table of Unicode, which takes seconds on a busy machine
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RECORDINGS = Path(__file__).parent.parent / "recordings"
LINK = "https://cdn.example/generations/05c3260d-0000-4000-8000-000000000000-0.png"
WAIT_WORDS = "Rate limit exceeded. Maximum 5 queued requests allowed."

ACCOUNT = Account("key-0", "https://u.example", "k")
PARSED = {
    "submit-success": Answer("success", "302455", links=(LINK,), seed=1793745243),
    "submit-success-nsfw": Answer("success", "302455", links=(LINK,), seed=1793745243, nsfw=True),
    "submit-success-proxy-links": Answer("success", "302456", links=(LINK,)),
    "submit-success-image-links": Answer("success", "302457", links=(LINK,)),
    "submit-success-links": Answer("success", "302458", links=(LINK,)),
    "submit-success-one-string": Answer("success", "302459", links=(LINK,)),
    "submit-success-base64-url": Answer("success", "302460", links=(LINK.replace(".png", ".base64"),)),
    "submit-success-base64-inline": Answer("success", "302461", inline=("iVBORw0KGgo=",)),
    "submit-success-data-uri": Answer("success", "302462", inline=("data:image/png;base64,iVBORw0KGgo=",)),
    "submit-ready": Answer("success", "302463", links=(LINK,)),
    "submit-processing": Answer(
        "processing",
        "134701497",
        eta_seconds=2.75,
        message="Try to fetch request after seconds estimated",
    ),
    "submit-processing-short": Answer("processing", "abc", eta_seconds=30, message="Your request is being processed"),
    "submit-failed": Answer("failed", message="Failed, Try Again"),
    "submit-error-field": Answer("error", message="prompt: The prompt field is required."),
    "submit-error-field-400": Answer("error", message="prompt: The prompt field is required."),
    "submit-error-width": Answer("error", message="width must be between 256 and 1024"),
    "submit-error-height": Answer("error", message="height must be divisible by 8"),
    "submit-error-key-old": Answer("error", message="Invalid Api Key"),
    "submit-error-key": Answer("error", message="Invalid API key"),
    "submit-error-credits": Answer("error", message="Insufficient credits. Please add more credits to continue."),
    "submit-error-subscription": Answer("error", message="This feature requires a premium subscription"),
    "submit-error-model-old": Answer("error", message="Model id not found"),
    "submit-error-model": Answer("error", message="Model not found: some-model"),
    "submit-error-queue-full": Answer("error", message=WAIT_WORDS),
    "submit-error-queue-full-header": Answer("error", message=WAIT_WORDS),
    "submit-error-rate-limit-old": Answer("error", message="Rate limit exceeded"),
    "submit-error-500": Answer("error", message="Internal server error. Please try again."),
    "submit-error-503": Answer("error", message="Service temporarily unavailable. Please try again later."),
    "submit-error-broken-json": Answer("error", message="Invalid API Request"),
    "submit-wrong-url": Answer("unreadable"),
    "callback-success": Answer("success", "abc123", "job-1", links=("https://cdn.example/generations/abc.png",)),
    "callback-failed": Answer("failed", "abc123", "job-1", message="Processing failed: Invalid input dimensions"),
    "callback-failed-without-track-id": Answer(
        "failed", "abc123", message="Processing failed: Invalid input dimensions"
    ),
    "callback-processing": Answer("processing", "134701497", "job-1"),
    "callback-success-without-output": Answer("success", "134701497", "job-1"),
    "callback-int-track-id": Answer("success", "134701497", "42", links=(LINK,)),
    "fetch-success": Answer("success", "13443927", links=(LINK,)),
    "fetch-processing": Answer("processing", message="try again later."),
    "fetch-processing-message": Answer("processing", message="try again later."),
    "fetch-not-found": Answer("failed", message="Request not found"),
    "fetch-not-found-404": Answer("error", message="Request not found"),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["status", "id", "track_id", "eta", "output", "image_links", "future_links", "meta", "seed", "message", "messege"]
) | st.sampled_from(["tip", "tips", "retry_after", "nsfw_content_detected"])
ANSWERS = st.dictionaries(FIELDS, JSON | st.sampled_from(["success", "processing", "failed", "error", LINK]))


def read(name: str) -> dict[str, object]:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def parsed(**content: object) -> Answer:
    return PROVIDER.parse(json.dumps(content).encode())


@pytest.mark.parametrize("name", PARSED)
def test_every_recorded_answer_is_read_as_the_table_says(name: str) -> None:
    """A recording and its expected shape agree in every field."""
    answer = PROVIDER.parse(json.dumps(read(name)["body"]).encode())
    expected = PARSED[name]
    assert answer == expected


def test_no_recording_of_an_answer_is_left_out_of_the_table() -> None:
    """A new recording without its expected shape fails here."""
    answers = {path.stem for path in RECORDINGS.glob("*.json") if not path.stem.startswith("management-")}
    assert answers == set(PARSED)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recording_names_its_source(path: Path) -> None:
    """A recording without a source proves nothing."""
    recording = json.loads(path.read_text())
    assert set(recording) == {"source", "kind", "http_status", "headers", "body"}
    assert recording["source"].startswith(("provider's documentation", "real ", "inferred "))
    assert path.stem.startswith(recording["kind"])


@PATIENT
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_never_a_success(body: bytes) -> None:
    """Noise neither raises nor reads as a result."""
    assert PROVIDER.parse(body).kind == "unreadable"


@PATIENT
@given(ANSWERS)
def test_any_types_in_the_known_fields_give_a_clean_answer(content: dict[str, object]) -> None:
    """Wrong types never raise, and what comes out has the types that are promised."""
    answer = PROVIDER.parse(json.dumps(content).encode())
    assert answer.kind in ("success", "processing", "failed", "error", "unreadable")
    assert all(isinstance(text, str) and text for text in (*answer.links, *answer.inline))
    assert all(text is None or 0 < len(text) <= 128 for text in (answer.request_id, answer.track_id))
    assert answer.eta_seconds is None or (math.isfinite(answer.eta_seconds) and answer.eta_seconds >= 0)
    assert len(answer.message) <= MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'["success"]',
        b'{"status":"success","output":["https://cdn.exam',
        b"<html>success</html>",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"status":"success","id":NaN}',
        b'{"status":"success","id":' + b"9" * 6000 + b"}",
        b'{"status":"success","id":"\xff"}',
        b'{"status":true}',
        b'{"status":"ok"}',
    ],
    ids=range(12),
)
def test_what_is_no_answer_is_unreadable(body: bytes) -> None:
    """Truncated, foreign, too deep, not JSON: never a success."""
    assert PROVIDER.parse(body).kind == "unreadable"


@pytest.mark.parametrize("value", ["", " ", None, True, 1.5, [], {}, 10**30, "x" * 129])
def test_an_unusable_id_is_no_id(value: object) -> None:
    """Every odd form of an id is None, not a text that looks like one."""
    assert parsed(status="processing", id=value).request_id is None


@pytest.mark.parametrize("value", ["", [], None, {}, 5, [None, ""], [[LINK]]])
def test_an_output_without_addresses_gives_no_links(value: object) -> None:
    """A success without a link stays a success, so that the caller asks fetch."""
    answer = parsed(status="success", id=1, output=value)
    assert (answer.kind, answer.links, answer.inline) == ("success", (), ())


def test_slashes_may_be_escaped() -> None:
    """PHP escapes slashes in JSON."""
    answer = PROVIDER.parse(b'{"status":"success","output":["https:\\/\\/cdn.example\\/a.png"]}')
    assert answer.links == ("https://cdn.example/a.png",)


def test_links_and_inline_images_are_told_apart() -> None:
    """What is no address is an image in the answer itself."""
    answer = parsed(status="success", output=[LINK, "aGVsbG8=", "data:image/png;base64,aGVsbG8="])
    assert answer.links == (LINK,)
    assert answer.inline == ("aGVsbG8=", "data:image/png;base64,aGVsbG8=")


def test_a_long_message_is_cut() -> None:
    """An answer cannot fill the record."""
    assert len(parsed(status="error", message="x" * 5000).message) == MESSAGE_CHARACTERS


def test_several_fields_in_a_message_are_joined() -> None:
    """A dict of arrays becomes one line."""
    message = parsed(status="error", message={"prompt": ["is required.", "is short."], "width": ["is odd."]}).message
    assert message == "prompt: is required.; is short.; width: is odd."


def test_the_body_of_a_submit_leaves_out_what_was_not_given() -> None:
    """None is "not given": the upstream's own default applies; everything else goes as it is."""
    request = {"prompt": "a cat", "width": 512, "guidance_scale": 7.5, "tomesd": "yes", "seed": None}
    call = PROVIDER.submit_call(ACCOUNT, request, "t", "https://d.example/w")
    assert call.url == "https://u.example/text2img"
    assert json.loads(call.body) == {
        "key": "k",
        "prompt": "a cat",
        "width": 512,
        "guidance_scale": 7.5,
        "tomesd": "yes",
        "webhook": "https://d.example/w",
        "track_id": "t",
    }


def test_a_request_cannot_replace_our_own_track_id_and_webhook() -> None:
    """Matching callbacks hangs on them."""
    body = json.loads(PROVIDER.submit_call(ACCOUNT, {"track_id": "theirs", "webhook": "x"}, "ours", "w").body)
    assert (body["track_id"], body["webhook"]) == ("ours", "w")


def test_the_body_of_a_fetch_has_the_key_and_the_id() -> None:
    """As documented, and nothing else."""
    call = PROVIDER.fetch_call(ACCOUNT, "302455")
    assert call.url == "https://u.example/fetch"
    assert json.loads(call.body) == {"key": "k", "request_id": "302455"}
