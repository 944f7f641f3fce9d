"""What a family of Redis keys is: its pattern, its type, what it holds, how long it lives. The map is keys.py."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Type(StrEnum):
    """As Redis' own TYPE answers."""

    STRING = "string"
    HASH = "hash"
    LIST = "list"
    SET = "set"
    ZSET = "zset"
    ANY = "any"


class Life(StrEnum):
    """How long the keys of a family live."""

    JOB = "with its jobs"
    """Its name, or each of its members, is that of a job or of a delivery of one: nothing of it outlives them."""
    TTL = "time to live"
    """Each of them has one, from the write that makes it."""
    EMPTY = "until it is empty"
    """Members come and go, each by its own rule; Redis removes the key with the last."""
    PERMANENT = "permanent"
    """Its size does not grow with the number of jobs: `bound` says what it grows with."""
    THEIRS = "Celery's"
    """Not ours to remove."""


@dataclass(frozen=True)
class Family:
    """The keys of one pattern. `<name>` in it stands for what tells one key from another."""

    pattern: str
    type: Type
    life: Life
    holds: str
    """Members or fields, and behind the arrow what is kept with each; behind a bar the fields that may be absent."""
    bound: str = ""
    """What removes or bounds it, where its kind of life leaves that open."""

    def __call__(self, *names: str) -> str:
        """The key with these names, as many as the pattern has. Raises TypeError for more or fewer."""
        return self._format % names

    @property
    def prefix(self) -> str:
        """What each of its keys begins with; the whole key, where there is only one."""
        return self.pattern.partition("<")[0]

    def matches(self, key: str) -> bool:
        """Whether the pattern fits the key. More than one may: keys.family_of() tells which it is."""
        return self._shape.fullmatch(key) is not None

    @cached_property
    def _format(self) -> str:
        return re.sub("<[a-z_]+>", "%s", self.pattern)

    @cached_property
    def _shape(self) -> "re.Pattern[str]":
        return re.compile(re.sub("<[a-z_]+>", ".+", re.escape(self.pattern)), re.DOTALL)
