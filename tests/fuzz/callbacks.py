"""The callback's address and body, as api/endpoints/callbacks.py reads them before anything is kept."""

import json
from collections.abc import Iterator

import orjson
from hypothesis import strategies as st
from pydantic_core import from_json

from tests.fuzz.answers import CONTENT, RECORDINGS
from tests.fuzz.target import Target
from worker.job.ids import attempt_track_id, new_job_id
from worker.signing import callback_token, check_callback_token, check_image_signature, image_signature
from worker.upstream.chosen import PROVIDER

SECRETS = (b"the-secret-before-01234567890123456", b"the-secret-of-today-0123456789012345")
JOB = "01M859N4P0ZK88SXJWVC1PBXXR"
VALID = [callback_token(attempt_track_id(JOB, number), (secret,)) for secret in SECRETS for number in (1, 2, 12345)]
IMAGE = image_signature(JOB, 0, 1_800_000_000_000, SECRETS)


def check_token(data: bytes) -> None:
    """No token passes but those that we made, letter for letter, and what passes is what was signed."""
    token = data.decode(errors="replace")
    proven = check_callback_token(token, SECRETS)
    if proven is None:
        assert token not in VALID
        return
    assert token in [callback_token(attempt_track_id(*proven), (secret,)) for secret in SECRETS]
    assert token in VALID


def check_signature(data: bytes) -> None:
    """No signature makes an image readable but ours, of that job, that index and that time."""
    job_id, index, expires, given = (data.decode(errors="replace").split("/") + [""] * 4)[:4]
    numbers = [int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0 for text in (index, expires)]
    known = check_image_signature(job_id, numbers[0], numbers[1], given, SECRETS)
    assert known == ((job_id, numbers[0], numbers[1], given) == (JOB, 0, 1_800_000_000_000, IMAGE))


def check_body(data: bytes) -> None:
    """A body that is a JSON object is parsed and can be kept as text; nothing else is taken."""
    try:
        content = from_json(data, allow_inf_nan=False)
    except ValueError:
        assert PROVIDER.parse(data).kind == "unreadable"
        return
    answer = PROVIDER.parse(data)
    assert isinstance(content, dict) or answer.kind == "unreadable"
    kept = orjson.loads(orjson.dumps({"at": 1, "job": JOB, "attempt": 1, "body": data.decode()}))
    assert PROVIDER.parse(kept["body"].encode()) == answer


def _bodies() -> Iterator[bytes]:
    for path in sorted(RECORDINGS.glob("callback-*.json")):
        yield json.dumps(json.loads(path.read_text())["body"]).encode()


def _changed(token: str, at: int, letter: str) -> bytes:
    at %= len(token)
    return (token[:at] + letter + token[at + 1 :]).encode(errors="replace")


CHANGED = st.builds(_changed, st.sampled_from(VALID), st.integers(0, 200), st.text(max_size=3))
OTHERS = st.builds(
    lambda now, number: f"{new_job_id(now)}-{number}.{VALID[0][-43:]}".encode(), st.integers(0, 2**40), st.integers()
)
SIGNED = st.builds(
    lambda index, expires, given: f"{JOB}/{index}/{expires}/{given}".encode(errors="replace"),
    st.integers(),
    st.integers() | st.just(1_800_000_000_000),
    st.just(IMAGE) | st.text(max_size=50),
)

TOKEN = Target(check_token, lambda: [each.encode() for each in VALID], CHANGED | OTHERS)
SIGNATURE = Target(check_signature, lambda: [f"{JOB}/0/1800000000000/{IMAGE}".encode()], SIGNED)
BODY = Target(check_body, _bodies, CONTENT.map(lambda content: json.dumps(content).encode()))
