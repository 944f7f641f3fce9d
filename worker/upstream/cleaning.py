"""The filter on the upstream's words: nothing of ours is in them when they are recorded, shown or delivered.

The upstream may repeat what it was sent: our key, and the callback address with its token. Its errors, and those of our
own client, may also name hosts of our network. All such text passes through here where it enters, so the record is
clean. Only the inbox keeps a callback as it came, for the operator.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from urllib.parse import urlsplit

from config.redis_address import parse_redis_address
from config.settings import Settings
from worker.job.answer import Answer, Outcome, Taken
from worker.signing import callback_token
from worker.upstream.chosen import PROVIDER
from worker.upstream.internal_hosts import InternalHosts
from worker.upstream.secret_parts import MASK, SecretParts
from worker.upstream.spellings import decoded

DECODINGS = 4
"""So many spellings around each other are undone: an address in JSON in HTML, for instance."""
NOT_SECRET = frozenset({"sandbox"})
"""The default key of the sandbox."""
CALLBACK = re.compile(r"(?:https?:)?[\w.:/\\\[\]*-]*[/\\]webhooks[/\\]+[a-z0-9]+[/\\]+[^\s\"'<>]*", re.IGNORECASE)
TOKEN = re.compile(r"\b[0-7][0-9A-Z]{25}-\d{1,6}\.[\w-]+", re.IGNORECASE)
SIGNATURE = re.compile(r"(?<![\w-])(?=[\w-]*[\d_-])[A-Za-z0-9_-]{43}(?![\w-])")
"""That of a token, alone, of any attempt. Its own attempt's is found in parts as well."""


class Cleaner:
    """Removes what is ours from texts. `keys` are the upstream keys that this process knows now."""

    def __init__(self, settings: Settings, keys: Callable[[], Iterable[str]]) -> None:
        self._secrets, self._keys = settings.secrets, keys
        self._hosts = InternalHosts(_hosts_of(settings))

    def outcome(self, outcome: Outcome, track_id: str) -> Outcome:
        """The outcome of the submit of that attempt, with clean words."""
        if isinstance(outcome, Taken):
            return Taken(self.answer(outcome.answer, track_id))
        return replace(outcome, message=self.text(outcome.message, track_id))

    def answer(self, answer: Answer, track_id: str) -> Answer:
        """An answer or a callback about that attempt, with clean words, and without a request id that is ours."""
        known = answer.request_id or ""
        is_ours = self._parts(track_id).mask(known) != known or TOKEN.search(known)
        request_id = None if is_ours else answer.request_id
        return replace(answer, request_id=request_id, message=self.text(answer.message, track_id))

    def text(self, text: str, track_id: str = "") -> str:
        """The text without secrets. It is shown as it came, unless something is found only after decoding it."""
        if not text:
            return text
        parts = self._parts(track_id)
        shown = plain = self._mask(text, parts)
        for _ in range(DECODINGS):
            plain = decoded(plain)
            cleaned = self._mask(plain, parts)
            if cleaned != plain:
                shown = plain = cleaned
        return shown

    def _mask(self, text: str, parts: SecretParts) -> str:
        text = CALLBACK.sub(MASK, text)
        text = SIGNATURE.sub(MASK, TOKEN.sub(MASK, text))
        return self._hosts.mask(parts.mask(text))

    def _parts(self, track_id: str) -> SecretParts:
        tokens = (callback_token(track_id, (secret,)).rpartition(".")[2] for secret in self._secrets)
        keys = (key for key in self._keys() if key not in NOT_SECRET)
        return _parts_of(frozenset(keys), frozenset(tokens if track_id else ()))


@lru_cache(maxsize=256)
def _parts_of(keys: frozenset[str], tokens: frozenset[str]) -> SecretParts:
    return SecretParts(keys | tokens)


def _hosts_of(settings: Settings) -> Iterator[str]:
    """Hosts that the settings name and that only we must know; our public address is known to every caller."""
    address = parse_redis_address(settings.redis_url.get_secret_value())
    yield from (host.strip("[]") for host, _ in address.hosts)
    urls = [settings.s3_endpoint] + ([] if PROVIDER.is_at(settings.upstream_url) else [settings.upstream_url])
    yield from (urlsplit(url).hostname or "" for url in urls)
