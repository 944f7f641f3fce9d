"""Whether a JSON text names a member of an object twice. A reader in front of us may take the first, we the last."""

import json
import re
from collections.abc import Sequence
from typing import Any

MEMBER = b'":'
SPACE_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')


class _Repeated(Exception):
    """A member was named twice."""


def repeats_a_member(body: bytes, value: Any) -> bool:
    """Whether the text, which was decoded to `value`, repeats a name within one object.

    Almost every text is told by counting: `":` stands once for each member, unless a string has an escape or begins
    with a colon, or space stands before a colon. Those are read once more.
    """
    if body.count(MEMBER) == _members(value) and b"\\" not in body and not SPACE_BEFORE_COLON.search(body):
        return False
    try:
        # numbers stay text: only names are looked at
        json.loads(body, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _Repeated:
        return True
    return False


def _members(value: Any) -> int:
    kind = value.__class__
    if kind is dict:
        return len(value) + sum(_members(each) for each in value.values() if each.__class__ in (dict, list))
    return sum(map(_members, value)) if kind is list else 0


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Repeated
    return made
