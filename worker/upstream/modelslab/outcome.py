"""What the answer to a POST proves: taken, not taken, or open (nobody knows). Decides whether a job is bought twice.

Only the provider's own documented shapes prove a refusal. A firewall, a gateway, a login page or a cache may answer
instead of the provider. Such an answer says nothing about the request, which may have been passed on.

| HTTP status | body | outcome |
|---|---|---|
| 2xx | `success`, `processing`, `failed` | Taken |
| 2xx, 400, 404 to 422 | `error` with a message | NotTaken, by the message's first words: busy, key_refused, rejected; \
Open if it speaks of a failure of the server |
| 401, 402, 403 | `error` or `failed` with a message | NotTaken key_refused; rejected if a 403 speaks of the model |
| 429 | `error` or `failed` with a message | NotTaken busy |
| 2xx to 4xx | `{"message": ""}` alone, the provider's "wrong URL" | NotTaken misconfigured |
| 307, 308 with a `location` | any but an answer | NotTaken misconfigured: by HTTP it was not acted on |
| 521, 523, 525, 526 of the CDN's edge | any but an answer | NotTaken unreachable: the edge did not reach it |
| 3xx, 4xx | `success`, `processing` | Open: status and body contradict each other |
| everything else: other 5xx, 408, HTML, nothing, half an answer, an `error` without words | | Open |

The content type decides nothing, because the provider documents none. A connection that was never made is NotTaken
unreachable; the client knows that.
"""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.upstream.modelslab.own_words import own_words
from worker.upstream.modelslab.wire import answer_of, content_of, is_wrong_url, names_fields, retry_after_of

# only in the upstream's own first words (own_words.py)
BUSY = re.compile(r"rate limit|queued requests|too many requests|queue is full", re.IGNORECASE)
KEY = re.compile(r"api[ _-]?key|credit|subscription|premium|unauthori[sz]ed|plan\b|trial", re.IGNORECASE)
SERVER = re.compile(r"internal server|temporarily unavailable|try again|server error|timed? ?out", re.IGNORECASE)
REQUEST = re.compile(r"\b(?:models?|loras?|embeddings?|prompt|scheduler|vae|controlnet)\b")
"""A 403 that speaks of these, and not of the key, refuses this request only."""
KEY_STATUSES = frozenset({401, 402, 403})
REFUSING_STATUSES = frozenset({400, 404, 405, 409, 410, 413, 414, 415, 422})
UNTOUCHED_REDIRECTS = frozenset({307, 308})
EDGE = "cloudflare"
EDGE_STATUSES = frozenset({521, 523, 525, 526})
"""The edge's own answers before any request: origin refused the connection, is unreachable, or TLS failed."""
LONGEST_WAIT_SECONDS = 1e7


class Said(NamedTuple):
    """An HTTP answer as the functions below read it."""

    answer: Answer
    content: dict[str, Any]
    headers: Mapping[str, str]
    echoes: Collection[str]


def judge_answer(http_status: int, headers: Mapping[str, str], body: bytes, echoes: Collection[str] = ()) -> Outcome:
    """The outcome that an HTTP answer proves.

    `headers` has lower-case names. `echoes` are the caller's own texts: if the upstream repeats them, they must not
    decide anything about the account or its queue.
    """
    content = content_of(body)
    answer = answer_of(content)
    said = Said(answer, content, headers, echoes)
    if 200 <= http_status < 300:
        return _judge_success_status(said)
    if answer.kind in ("success", "processing"):
        return Open(f"contradictory_http_{http_status}", answer.message)
    if _never_arrived(http_status, headers):
        return NotTaken(Reason.UNREACHABLE, f"HTTP {http_status} from the edge before the upstream")
    if http_status in UNTOUCHED_REDIRECTS and headers.get("location"):
        return NotTaken(Reason.MISCONFIGURED, f"HTTP {http_status} from the upstream's address")
    if 300 <= http_status < 500 and is_wrong_url(content):
        return NotTaken(Reason.MISCONFIGURED, f"HTTP {http_status} from the upstream's address")
    if answer.kind in ("error", "failed") and answer.message:
        return _judge_refusal(http_status, said)
    return Open(f"http_{http_status}", answer.message)


def _judge_refusal(http_status: int, said: Said) -> Outcome:
    message = said.answer.message
    if http_status == 429:
        return NotTaken(Reason.BUSY, message, _wait_seconds(said))
    if http_status in KEY_STATUSES:
        return NotTaken(Reason.REJECTED if _is_about_this_request(http_status, said) else Reason.KEY_REFUSED, message)
    if http_status in REFUSING_STATUSES:
        return _judge_error(said)
    return Open(f"http_{http_status}", message)


def _is_about_this_request(http_status: int, said: Said) -> bool:
    if http_status != 403 or names_fields(said.content):
        return False
    words = own_words(said.answer.message, said.echoes)
    return bool(REQUEST.search(words)) and not KEY.search(words)


def _judge_success_status(said: Said) -> Outcome:
    answer = said.answer
    if answer.kind in ("success", "processing", "failed"):
        return Taken(answer)
    if is_wrong_url(said.content):
        return NotTaken(Reason.MISCONFIGURED, "the upstream's address answers without a status")
    if answer.kind == "error" and answer.message:
        return _judge_error(said)
    return Open("unreadable_answer", answer.message)


def _judge_error(said: Said) -> Outcome:
    message = said.answer.message
    words = "" if names_fields(said.content) else own_words(message, said.echoes)
    if BUSY.search(words):
        return NotTaken(Reason.BUSY, message, _wait_seconds(said))
    if KEY.search(words):
        return NotTaken(Reason.KEY_REFUSED, message)
    if SERVER.search(words):
        return Open("server_error", message)
    return NotTaken(Reason.REJECTED, message)


def _never_arrived(http_status: int, headers: Mapping[str, str]) -> bool:
    return http_status in EDGE_STATUSES and headers.get("server", "").strip().lower() == EDGE


def _wait_seconds(said: Said) -> float | None:
    """Seconds to wait: from the body, as documented, else from the header (seconds or a date)."""
    in_body = retry_after_of(said.content)
    if in_body is not None:
        return in_body
    told = said.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit() and len(told) < 8:
        return float(told)
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
