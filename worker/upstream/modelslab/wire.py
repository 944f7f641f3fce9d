"""The provider's messages on the wire: the only place that knows their field names.

The sources disagree about nearly every field (tests/recordings). Every documented form is accepted here, and the rest
of the code gets an Answer.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic_core import from_json

from worker.job.answer import Answer, Kind

KINDS: dict[str, Kind] = {
    "success": "success",
    "ready": "success",
    "processing": "processing",
    "failed": "failed",
    "error": "error",
}
LINK_FIELDS = ("output", "image_links", "proxy_links", "links")
MESSAGE_FIELDS = ("message", "messege", "tip", "tips", "tip_1")
MESSAGE_CHARACTERS = 500
MOST_LINKS = 16
ID_CHARACTERS = 128
WAIT_IN_WORDS = re.compile(r"wait\s+(?:for\s+)?(\d{1,6})\s*second", re.IGNORECASE)


def submit_body(request: Mapping[str, object], *, key: str, track_id: str, webhook: str) -> bytes:
    """The body of POST /text2img. Attributes that were not given are not sent; the upstream's defaults apply."""
    given = {name: value for name, value in request.items() if value is not None}
    return orjson.dumps({"key": key, **given, "webhook": webhook, "track_id": track_id})


def fetch_body(key: str, request_id: str) -> bytes:
    """The body of POST /fetch."""
    return orjson.dumps({"key": key, "request_id": request_id})


def parse_answer(body: bytes) -> Answer:
    """Parses any body to an Answer. Never raises: what cannot be read is `unreadable`."""
    return answer_of(content_of(body))


def content_of(body: bytes) -> dict[str, Any]:
    """The fields of a body; none if it cannot be read or is no JSON object."""
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def answer_of(content: dict[str, Any]) -> Answer:
    """The Answer in the fields of an answer or a callback."""
    status = content.get("status")
    outputs = _outputs(content)
    return Answer(
        kind=KINDS.get(status.lower(), "unreadable") if isinstance(status, str) else "unreadable",
        request_id=_text_id(content.get("id")),
        track_id=_text_id(content.get("track_id")),
        eta_seconds=_number(content.get("eta")),
        links=tuple(entry for entry in outputs if _is_address(entry)),
        inline=tuple(entry for entry in outputs if not _is_address(entry)),
        nsfw=_nsfw(content.get("nsfw_content_detected")),
        seed=_seed(content),
        message=_message(content),
    )


def names_fields(content: dict[str, Any]) -> bool:
    """Whether the message is a list of sentences for each field: a refusal of this one request."""
    return any(isinstance(content.get(name), dict) for name in MESSAGE_FIELDS)


def is_wrong_url(content: dict[str, Any]) -> bool:
    """Whether it is `{"message": ""}` and nothing else: the answer for an unknown address."""
    return content == {"message": ""}


def retry_after_of(content: dict[str, Any]) -> float | None:
    """Seconds to wait, from a field or from the message's words; None if nothing is said."""
    told = _number(content.get("retry_after"))
    if told is not None:
        return told
    words = " ".join(_flat(content.get(name)) for name in MESSAGE_FIELDS)
    found = WAIT_IN_WORDS.search(words)
    return float(found[1]) if found else None


def _outputs(content: dict[str, Any]) -> tuple[str, ...]:
    """The image addresses from the first field that has any, in the order of the enterprise API's clients."""
    return next((found for name in LINK_FIELDS if (found := _texts(content.get(name)))), ())


def _texts(value: object) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [value]
    return tuple(entry.strip() for entry in entries[:MOST_LINKS] if isinstance(entry, str) and entry.strip())


def _is_address(entry: str) -> bool:
    return entry[:8].lower().startswith(("http://", "https://"))


def _text_id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip() if not isinstance(value, int) or abs(value) < 2**63 else ""
    return text if 0 < len(text) <= ID_CHARACTERS else None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number < 1e7 else None


def _nsfw(value: object) -> bool:
    return any(entry is True for entry in value) if isinstance(value, list) else value is True


def _seed(content: dict[str, Any]) -> int | None:
    meta = content.get("meta")
    seed = meta.get("seed") if isinstance(meta, dict) else content.get("seed")
    text = str(seed) if isinstance(seed, int | str) and not isinstance(seed, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _message(content: dict[str, Any]) -> str:
    found = next((text for name in MESSAGE_FIELDS if (text := _flat(content.get(name)))), "")
    return found[:MESSAGE_CHARACTERS]


def _flat(value: object) -> str:
    """A message's text; a dict of arrays becomes `field: sentence`, joined."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, (_flat(entry) for entry in value[:20] if isinstance(entry, str))))
    if isinstance(value, dict):
        flat = (
            (str(name)[:64], _flat(entry)) for name, entry in list(value.items())[:20] if not isinstance(entry, dict)
        )
        return "; ".join(f"{name}: {text}" for name, text in flat if text)
    return ""
