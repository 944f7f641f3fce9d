"""A family of Redis keys: its pattern, its type, what it holds, how long it lives. The map of all is keys.py."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Type(StrEnum):
    """The types of Redis' command TYPE."""

    STRING = "string"
    HASH = "hash"
    LIST = "list"
    SET = "set"
    ZSET = "zset"
    ANY = "any"


class Life(StrEnum):
    """How long the keys of a family live."""

    JOB = "with its jobs"
    """The key or its members are named after jobs or their deliveries, and are removed with them."""
    TTL = "time to live"
    """Each key has a TTL from the write that makes it."""
    EMPTY = "until it is empty"
    """Members come and go; Redis removes the key with its last member."""
    PERMANENT = "permanent"
    """It stays. Its size does not grow with the number of jobs; `bound` says what it grows with."""
    THEIRS = "Celery's"
    """Celery's own keys; we do not remove them."""


@dataclass(frozen=True)
class Family:
    """The keys of one pattern. `<name>` is its variable part."""

    pattern: str
    type: Type
    life: Life
    holds: str
    """Members or fields; after the arrow the value of each; after a bar the fields that may be absent."""
    bound: str = ""
    """What removes or limits it, if its `life` does not say that."""

    def __call__(self, *names: str) -> str:
        """The key with these names for its variable parts. Raises TypeError for too many or too few."""
        return self._format % names

    @property
    def prefix(self) -> str:
        """The constant beginning of its keys; the whole key if there is only one."""
        return self.pattern.partition("<")[0]

    def matches(self, key: str) -> bool:
        """Whether the key matches the pattern. Several patterns may match: keys.family_of() decides."""
        return self._shape.fullmatch(key) is not None

    @cached_property
    def _format(self) -> str:
        return re.sub("<[a-z_]+>", "%s", self.pattern)

    @cached_property
    def _shape(self) -> "re.Pattern[str]":
        return re.compile(re.sub("<[a-z_]+>", ".+", re.escape(self.pattern)), re.DOTALL)
