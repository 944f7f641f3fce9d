"""What the upstream says: the answer to a submit, the answer to a fetch, a callback.

An input is a status, a line feed, a `retry-after`, a line feed, and a body.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.target import Target
from tests.support.jobs import DURATIONS, NOW, SUBMITTING
from worker.job import decisions
from worker.job.answer import NotTaken, Open, Outcome, Reason, Taken
from worker.job.record import Status
from worker.upstream.chosen import PROVIDER

RECORDINGS = Path(__file__).parent.parent / "recordings"
ACCOUNT_REASONS = (Reason.BUSY, Reason.KEY_REFUSED)
"""The verdicts that hold for a whole account, so that a caller's words must not lead to them."""
LONGEST_WAIT_SECONDS = 1e7
NEUTRAL = "zebra crossing"
ECHO_MARK = "@@"
ALONE = re.compile(r"(?<!\S)@@(?!\S)")
WORDS_ONLY = re.compile(r"[A-Za-z]{2,}( [A-Za-z]{2,})*")
"""Texts that are certainly an echo: words, where the message has them as words."""


def check_answer(data: bytes) -> None:
    """Never an exception, only promised types, bought only by a 2xx, and never a success by words alone."""
    status, headers, body = _parts(data)
    answer = PROVIDER.parse(body)
    assert answer.kind in ("success", "processing", "failed", "error", "unreadable")
    assert all(isinstance(text, str) and text for text in (*answer.links, *answer.inline))
    assert all(text is None or 0 < len(text) <= 128 for text in (answer.request_id, answer.track_id))
    assert answer.eta_seconds is None or (math.isfinite(answer.eta_seconds) and answer.eta_seconds >= 0)
    _check_outcome(status, PROVIDER.judge(status, headers, body))


def _check_outcome(status: int, outcome: Outcome) -> None:
    assert isinstance(outcome, Taken | NotTaken | Open)
    assert 200 <= status < 300 or not isinstance(outcome, Taken)
    if isinstance(outcome, NotTaken):
        wait = outcome.retry_after_seconds
        assert wait is None or 0 <= wait <= LONGEST_WAIT_SECONDS
    step = decisions.answered(SUBMITTING, 1, outcome, NOW, DURATIONS)
    assert step is None or step.job.status is not Status.SUCCEEDED  # only stored images make a success
    if step and step.job.status is Status.STORING:
        assert isinstance(outcome, Taken)
        assert outcome.answer.kind == "success"
    if step and decisions.claim(step.job, "key-1", NOW, DURATIONS):
        assert isinstance(outcome, NotTaken)


def check_echo(data: bytes) -> None:
    """A caller's text that the upstream repeats leads to no verdict on the account that another text would not lead to.

    An input is the caller's text, a line feed, and the upstream's message with @@ where it repeats the text.
    """
    echo, _, form = data.decode(errors="replace").partition("\n")
    if not WORDS_ONLY.fullmatch(echo) or ECHO_MARK not in ALONE.findall(form):
        return
    if _account_verdict(form, echo) and not _account_verdict(form, NEUTRAL):
        raise AssertionError(f"{echo!r} in {form!r} decides about the account")


def _account_verdict(form: str, echo: str) -> bool:
    body = json.dumps({"status": "error", "message": ALONE.sub(echo, form)}).encode()
    outcome = PROVIDER.judge(200, {}, body, [echo])
    return isinstance(outcome, NotTaken) and outcome.reason in ACCOUNT_REASONS


def _parts(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, rest = data.partition(b"\n")
    wait, _, body = rest.partition(b"\n")
    status = int(head) if head.isdigit() and len(head) == 3 else 200
    return status, {"retry-after": wait.decode("latin-1")} if wait else {}, body


def _recordings() -> Iterator[bytes]:
    for path in sorted(RECORDINGS.glob("*.json")):
        told = json.loads(path.read_text())
        body = told["body"] if isinstance(told["body"], str) else json.dumps(told["body"])
        wait = told["headers"].get("retry-after", "") if told.get("headers") else ""
        yield b"%d\n%s\n%s" % (told.get("http_status") or 200, str(wait).encode(), body.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("status", "id", "track_id", "eta", "output", "image_links", "links", "message", "messege", "meta", "seed")
FIELDS += ("retry_after", "nsfw_content_detected")
WORDS = st.sampled_from(
    ["success", "processing", "failed", "error", "Rate limit exceeded", "Invalid API key", "https://cdn.example/a.png"]
)
CONTENT = st.dictionaries(st.sampled_from(FIELDS), WORDS | JSON, max_size=8)
STATUS = st.integers(100, 599) | st.sampled_from([200, 400, 401, 429, 500, 521])
MESSAGE = st.sampled_from(["{} is not allowed", "Invalid {}", "The prompt {} limit", "api {}", "{} key", "{}"])


def _line(status: int, wait: str, content: object) -> bytes:
    return f"{status}\n{wait}\n{json.dumps(content)}".encode(errors="replace")


ANSWER_EXAMPLES = st.builds(_line, STATUS, st.sampled_from(["", "7", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"]), CONTENT)
ECHOES = st.sampled_from(["rate limit", "an api key", "credit", "unauthorized premium plan", "too many requests"])
ECHO_EXAMPLES = st.builds(
    lambda echo, form: f"{echo}\n{form.format(ECHO_MARK)}".encode(errors="replace"),
    ECHOES | ECHOES.map(lambda text: " ".join([text] * 60)) | st.from_regex(WORDS_ONLY, fullmatch=True),
    MESSAGE,
)

ECHO_SEEDS = (
    b"rate limit\nInvalid prompt @@",
    b"an api key with a cat\n@@ is wrong",
    b" ".join([b"a rate limit"] * 60) + b"\nInvalid prompt @@",
)

ANSWER = Target(check_answer, _recordings, ANSWER_EXAMPLES)
ECHO = Target(check_echo, lambda: ECHO_SEEDS, ECHO_EXAMPLES)
