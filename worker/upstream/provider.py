"""The seam (interface) to the provider: what Darkroom needs from it, and what a provider may be able to do.

Everything that knows a provider's words is in that provider's folder and is used through `PROVIDER` (chosen.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

from worker.job.answer import Answer, Outcome
from worker.upstream.accounts import Account
from worker.upstream.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do beyond taking a request, calling back, and being asked by its own request id.

    Darkroom is written for a provider that can do none of these; WITHOUT says what follows. Setting a field to true has
    no effect by itself: each field names the code that could then promise more.
    """

    finds_by_our_id: bool
    """Can be asked by our own id whether an attempt was taken. Would resolve `unknown` (worker/asking.py)."""
    takes_idempotency_key: bool
    """Bills the same submit only once if it is sent twice. Would allow sending `unknown` again (decisions.woken)."""
    cancels: bool
    """Can stop a request that it has taken. Then a cancel could stop the charge (decisions.cancelled)."""
    signs_callbacks: bool
    """Signs its callbacks. Then their bodies could be believed (api/endpoints/callbacks.py, recording.py)."""


WITHOUT = {
    "finds_by_our_id": "cannot be asked by our id: while the answer to a submit is lost, only its callback can tell",
    "takes_idempotency_key": "takes no idempotency key: a job that is `unknown` is sent again only by `resubmit`",
    "cancels": "cannot cancel a request: a cancel after the submit does not stop the charge (`charged` says so)",
    "signs_callbacks": "does not sign callbacks: the token in the address is the proof of one",
}
"""For each capability, what follows if a provider lacks it; shown by `darkroom doctor` and the docs."""


def missing(capabilities: Capabilities) -> list[str]:
    """The sentences for all capabilities that the provider lacks."""
    return [WITHOUT[each.name] for each in fields(capabilities) if not getattr(capabilities, each.name)]


@dataclass(frozen=True, slots=True)
class Call:
    """One POST of JSON. The key is in the body, which is never logged."""

    url: str
    body: bytes


class Provider(Protocol):
    """One provider of images: it makes bodies and reads answers; the client sends them."""

    @property
    def name(self) -> str:
        """Its name as people write it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The attributes of its request."""

    @property
    def base_path(self) -> str:
        """The path of its API in a base address, after host and port."""

    @property
    def callback_path(self) -> str:
        """The path of its callbacks at our API, before the token; ends with a slash. Must not change: it is in use."""

    @property
    def results_live_seconds(self) -> int:
        """How many seconds it keeps an image."""

    def is_at(self, base_url: str) -> bool:
        """Whether that is the provider's own address, not one of a sandbox or a proxy."""

    def submit_call(self, account: Account, request: Mapping[str, object], track_id: str, callback_url: str) -> Call:
        """The call that submits `request`. The provider will call `callback_url` with `track_id`."""

    def fetch_call(self, account: Account, request_id: str) -> Call:
        """The call that asks for the state of a request, by the provider's id."""

    def greeting_call(self, account: Account) -> Call:
        """A call that costs nothing and fails with a wrong key."""

    def judge(self, http_status: int, headers: Mapping[str, str], body: bytes, echoes: Collection[str] = ()) -> Outcome:
        """What the answer to a submit proves. `headers` has lower-case names, `echoes` are the caller's own texts."""

    def parse(self, body: bytes) -> Answer:
        """Parses the answer to a fetch, or a callback. Never raises: what cannot be read is `unreadable`."""

    def empty_callback(self, track_id: str) -> bytes:
        """The body of a callback without images, to test the callback URL."""

    def serves_text(self, image_url: str) -> bool:
        """Whether an image's address returns base64 text instead of bytes."""

    def may_blank(self, request: Mapping[str, object]) -> bool:
        """Whether it may have replaced an unsafe image by a blank one."""
