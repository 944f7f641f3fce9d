"""What became of a POST: taken, not taken, or open. One pure function; whether anything is bought twice hangs on it.

| answer | outcome |
|---|---|
| 2xx with `success`, `processing`, `failed` | Taken |
| 2xx or 4xx with `error`: queue full, rate limit; any 429 | NotTaken busy |
| 401, 402, 403; or `error` about the key, credits, plan | NotTaken key_refused |
| 3xx; 404 or 405 without a `status` | NotTaken misconfigured |
| other 4xx, or 2xx, with `error`: this request is refused | NotTaken rejected |
| `error` that speaks of a failure of the server | Open |
| 3xx, 4xx that says `success` or `processing`: status and body contradict each other | Open |
| 408, 5xx, 2xx that cannot be read, anything else | Open |

A connection that was never made is NotTaken unreachable; the client says so. What nothing proves is Open.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from worker.upstream.wire import Answer, parse_answer


class Reason(StrEnum):
    """Why it is certain that the upstream did not take a request."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    KEY_REFUSED = "key_refused"
    REJECTED = "rejected"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Taken:
    """The upstream has it, and bills it."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Proven: nothing was bought."""

    reason: Reason
    message: str = ""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Nobody knows. `reason` is one word for the record."""

    reason: str
    message: str = ""


Outcome = Taken | NotTaken | Open

# ends in the model's name, which a tenant chooses: a model called "premium" must not close the key for everybody
MODEL_REFUSED = re.compile(r"model( id)? not found", re.IGNORECASE)
BUSY = re.compile(r"rate limit|queued requests|too many requests|queue is full", re.IGNORECASE)
KEY = re.compile(r"api[ _-]?key|credit|subscription|premium|unauthori[sz]ed|plan\b|trial", re.IGNORECASE)
SERVER = re.compile(r"internal server|temporarily unavailable|try again|server error|timed? ?out", re.IGNORECASE)
REFUSING_STATUSES = frozenset({400, 404, 405, 409, 410, 413, 414, 415, 422})
LONGEST_WAIT_SECONDS = 1e7


def judge_answer(http_status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """The outcome that an HTTP answer proves. `headers` has lower-case names."""
    answer = parse_answer(body)
    if 200 <= http_status < 300:
        return _judge_success_status(answer, headers)
    if answer.kind in ("success", "processing"):
        return Open(f"contradictory_http_{http_status}", answer.message)
    if http_status == 429:
        return NotTaken(Reason.BUSY, answer.message, _retry_after(answer, headers))
    if http_status in (401, 402, 403):
        return NotTaken(Reason.KEY_REFUSED, answer.message or f"HTTP {http_status}")
    if 300 <= http_status < 400 or (http_status in (404, 405) and not answer.has_status):
        return NotTaken(Reason.MISCONFIGURED, f"HTTP {http_status} from the upstream's address")
    if http_status in REFUSING_STATUSES and answer.kind in ("error", "failed"):
        return _judge_error(answer, headers)
    return Open(f"http_{http_status}", answer.message)


def _judge_success_status(answer: Answer, headers: Mapping[str, str]) -> Outcome:
    if answer.kind in ("success", "processing", "failed"):
        return Taken(answer)
    if answer.kind == "error":
        return _judge_error(answer, headers)
    return Open("unreadable_answer", answer.message)


def _judge_error(answer: Answer, headers: Mapping[str, str]) -> Outcome:
    if MODEL_REFUSED.match(answer.message):
        return NotTaken(Reason.REJECTED, answer.message)
    if BUSY.search(answer.message):
        return NotTaken(Reason.BUSY, answer.message, _retry_after(answer, headers))
    if KEY.search(answer.message):
        return NotTaken(Reason.KEY_REFUSED, answer.message)
    if SERVER.search(answer.message):
        return Open("server_error", answer.message)
    return NotTaken(Reason.REJECTED, answer.message)


def _retry_after(answer: Answer, headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: from the body, where the documents put it, else from the header, as seconds or as a date."""
    if answer.retry_after_seconds is not None:
        return answer.retry_after_seconds
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit() and len(told) < 8:
        return float(told)
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
