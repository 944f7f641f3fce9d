"""Darkroom's own attributes of a request, beside the provider's: types, limits, and allowed values."""

import re
from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from worker.job.record import OnUnknown
from worker.upstream.forms import (
    MOST_NUMBER,
    NO_CONTROL,
    STRICT,
    Boolean,
    Integer,
    Real,
    choice,
    number,
    optional,
    or_empty,
    text,
)
from worker.upstream.numbers import whole_pattern

DeadlinePolicy = Literal["accept", "refuse"]

DEADLINE = (1, 2_592_000)
RANGES = {"deadline_seconds": DEADLINE, "priority": (0, 9)}
MOST_METADATA = 16
LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
WEB_ADDRESS = rf"^https?://({LABEL}\.){{0,20}}{LABEL}(:{PORT})?([/?#][!-\[\]-~]*)?$"
"""Web addresses with a name or an IPv4 address, in ASCII. Deliveries can reach each of them that is public."""


@with_config(STRICT)
class Own(TypedDict, total=False):
    """Darkroom's own attributes; `webhook` and `track_id` are the caller's."""

    webhook: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=WEB_ADDRESS,
            json_schema_extra=optional(
                "URL to receive a POST callback once image generation is complete: public, on port 80 or 443.",
                {"type": "string", "maxLength": 2048, "pattern": or_empty(WEB_ADDRESS)},
            ),
        ),
    ]
    track_id: Annotated[str, text("ID returned in webhook callback to identify the request.")]
    deadline_seconds: Annotated[int, number("The job ends by then, whatever happens.", *DEADLINE, 3600)]
    priority: Annotated[int, number("0 to 9; a higher one goes first.", *RANGES["priority"], 5)]
    on_unknown: Annotated[
        OnUnknown,
        choice(
            OnUnknown,
            "What to do when nobody knows whether the upstream took the request. `resubmit` may buy twice.",
            "hold",
        ),
    ]
    deadline_policy: Annotated[
        DeadlinePolicy,
        choice(
            DeadlinePolicy,
            "`refuse` answers 429 with the predicted wait where the job is not expected to end before its deadline.",
            "accept",
        ),
    ]
    metadata: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64, pattern=NO_CONTROL)],
            Annotated[str, Field(max_length=256)] | Boolean | Integer | Real,
        ],
        Field(
            max_length=MOST_METADATA,
            json_schema_extra=optional(
                "A small flat map of your own, kept and shown with the job.",
                {
                    "type": "object",
                    "maxProperties": MOST_METADATA,
                    "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": NO_CONTROL},
                    "additionalProperties": {
                        "anyOf": [
                            {"type": "string", "maxLength": 256},
                            {"type": "boolean"},
                            {"type": "number", "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER},
                        ]
                    },
                },
                {"const": ""},
            ),
        ),
    ]


NUMBER_TEXTS = {name: re.compile(whole_pattern(*limits)) for name, limits in RANGES.items()}
FREE_TEXT = frozenset(["webhook", "track_id", "metadata", "key"])
ALLOWED = {name: f"a whole number from {low} to {high}" for name, (low, high) in RANGES.items()} | {
    "webhook": "an http(s) address of up to 2048 characters",
    "track_id": "text of up to 255 characters, or a whole number",
    "on_unknown": "hold, resubmit, fail",
    "deadline_policy": "accept, refuse",
    "metadata": "a flat map of up to 16 keys (64 characters) to text (256 characters), numbers or booleans",
}
