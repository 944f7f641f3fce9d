"""What an upstream has said about a request, in Darkroom's own terms, for any provider.

An `Answer` is what one message of the upstream says, an `Outcome` what is proven of one submit. The provider's folder
makes both from the messages on the wire (worker/upstream/); decisions.py uses them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Kind = Literal["success", "processing", "failed", "error", "unreadable"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a submit, an answer to a fetch, or a callback, in one clean shape."""

    kind: Kind
    request_id: str | None = None
    """The upstream's own id of the request."""
    track_id: str | None = None
    """The id that we gave to the attempt, if the upstream repeats it."""
    eta_seconds: float | None = None
    links: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()
    """Images that came in the answer itself, as base64 or data: URIs."""
    nsfw: bool = False
    seed: int | None = None
    message: str = ""


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
