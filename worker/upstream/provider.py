"""The seam: what this service asks of the provider that it buys images from, and what a provider may be able to do.

Everything that knows a provider's words lies in that provider's folder and is reached through `PROVIDER` (chosen.py).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

from worker.job.answer import Answer, Outcome
from worker.upstream.accounts import Account
from worker.upstream.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do beyond taking a request, telling its end, and being asked by its own request id.

    The service is written for a provider that can do none of it; WITHOUT says what follows. A field that becomes true
    has no effect by itself: it names the places that may then promise more.
    """

    finds_by_our_id: bool
    """Says by the id that we gave to an attempt whether it was taken. Would settle `unknown` (worker/asking.py)."""
    takes_idempotency_key: bool
    """Takes the same submit twice and bills it once. Would let `unknown` be sent again (decisions.woken)."""
    cancels: bool
    """Stops one request that it has taken. Would let a cancel stop the charge (decisions.cancelled)."""
    signs_callbacks: bool
    """Proves that a callback is its own. Would let its body be believed (api/endpoints/callbacks.py, recording.py)."""


WITHOUT = {
    "finds_by_our_id": "cannot be asked by our id: while the answer to a submit is lost, only its callback can tell",
    "takes_idempotency_key": "takes no idempotency key: a job that is `unknown` is sent again only by `resubmit`",
    "cancels": "cannot cancel a request: a cancel after the submit does not stop the charge (`charged` says so)",
    "signs_callbacks": "does not sign callbacks: the token in the address is the proof of one",
}
"""For each capability, what follows where a provider lacks it: for the operator (`darkroom doctor`) and the docs."""


def missing(capabilities: Capabilities) -> list[str]:
    """What follows from each capability that is not there."""
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
        """As people write it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The attributes of its request."""

    @property
    def base_path(self) -> str:
        """Where its API begins at a server: what follows host and port in a base address."""

    @property
    def callback_path(self) -> str:
        """Where our API takes its callbacks; ends with a slash, the token follows. Addresses in flight hold it."""

    @property
    def results_live_seconds(self) -> int:
        """How long it keeps an image: until then it is worth asking for."""

    def is_at(self, base_url: str) -> bool:
        """Whether that is an address of its own, not of a sandbox or a proxy."""

    def submit_call(self, account: Account, request: Mapping[str, object], track_id: str, callback_url: str) -> Call:
        """Buys what `request` asks for. The end is told to `callback_url`, with `track_id`."""

    def fetch_call(self, account: Account, request_id: str) -> Call:
        """Asks how a request stands that it has taken under that id of its own."""

    def greeting_call(self, account: Account) -> Call:
        """A call that costs nothing and that a wrong key makes fail."""

    def judge(self, http_status: int, headers: Mapping[str, str], body: bytes, echoes: Collection[str] = ()) -> Outcome:
        """What the answer to a submit proves. `headers` has lower-case names, `echoes` are the caller's own texts."""

    def parse(self, body: bytes) -> Answer:
        """An answer to a fetch or a callback. Never raises: what cannot be read is `unreadable`."""

    def empty_callback(self, track_id: str) -> bytes:
        """The body of a callback that tells of no image, for a probe of the way back."""

    def serves_text(self, image_url: str) -> bool:
        """Whether an image's address gives base64 text instead of the image's bytes."""

    def may_blank(self, request: Mapping[str, object]) -> bool:
        """Whether it may have put a blank image in the place of one that it found unsafe."""
