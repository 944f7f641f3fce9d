"""Replies of scripts by name: `return reply{verdict = 'kept'}` in Lua becomes the array `{now, 'kept'}` on the wire.

The names are those of a NamedTuple, which Python gets. A value may be a NamedTuple itself (in Lua a table with its
names), or a list of them. A value that a script leaves out becomes `false`, because Redis ends an array at the first
nil.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from worker.store.assembly import ScriptError
from worker.store.signature import is_group, optional

REPLY = re.compile(r"\breturn reply\{")
BY_POSITION = re.compile(r"^.*\breturn \{now\b.*$", re.MULTILINE)
TOKEN = re.compile(r"--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"|[({\[]|[)}\]]|\w+\s*=(?!=)|.", re.DOTALL)
NEVER_NIL = re.compile(r"'[^']*'|[\d.]+|true|\{\}")

Read = Callable[[Any], Any]


class Reply:
    """The reply of one script. A field named `now` is the time, which begins every reply."""

    def __init__(self, name: str, kind: Any) -> None:
        if kind is not NoneType and not is_group(kind):
            raise ScriptError(f"{name}: the reply must be a NamedTuple, or None")
        self._kind = kind
        self._make = None if kind is NoneType else _maker(kind)
        self._first = 0 if kind is not NoneType and "now" in kind._fields else 1

    def read(self, reply: Sequence[Any]) -> Any:
        """The array from the wire as the reply's type."""
        return self._make and self._make(reply[self._first :] if self._first else reply)

    def expand(self, file: str, text: str) -> str:
        """A script's text with its replies expanded to arrays. Raises ScriptError for a wrong or missing name."""
        if by_position := BY_POSITION.search(text):
            raise ScriptError(f"{file}: reply by name, not by position: {by_position[0].strip()}")
        parts, at = [], 0
        for found in REPLY.finditer(text):
            given, end = _table(text, found.end())
            try:
                code = self._statement(given)
            except KeyError as error:
                place = f"{file}:{text.count(chr(10), 0, found.start()) + 1}"
                raise ScriptError(f"{place}: unknown or missing in the reply: {error.args[0]}") from None
            lines = text.count("\n", found.start(), end) - code.count("\n")
            parts += [text[at : found.start()], code, "\n" * lines]
            at = end
        return "".join((*parts, text[at:]))

    def _statement(self, given: Mapping[str, str]) -> str:
        before: list[str] = []
        values = [] if self._kind is NoneType else list(_values(self._kind, given, before))
        return " ".join((*before, f"return {{{', '.join(('now', *values))}}}"))


def _table(text: str, at: int) -> tuple[dict[str, str], int]:
    """(fields of a Lua table by name, offset of its end); `at` is behind its opening brace."""
    fields: dict[str, str] = {}
    name, value, depth = "", "", 0
    for found in TOKEN.finditer(text, at):
        word = found[0]
        depth += (word in "({[") - (word in ")}]")
        if depth < 0 or (depth == 0 and word == ","):
            if name or value.strip():
                fields[name] = value.strip()
            name, value = "", ""
            if depth < 0:
                return fields, found.end()
        elif depth == 0 and not name and len(word) > 1 and word.endswith("="):
            name = word[:-1].strip()
        elif not word.startswith("--"):
            value += word
    raise ScriptError(f"a table that does not end: {text[at : at + 40]}")


def _values(kind: Any, given: Mapping[str, str], before: list[str]) -> Iterator[str]:
    """A Lua expression for each field of a NamedTuple; statements that must come first are added to `before`.

    Raises KeyError with the names that are unknown or missing.
    """
    hints = get_type_hints(kind)
    hints.pop("now", None)
    wrong = given.keys() - hints.keys() | hints.keys() - given.keys() - kind._field_defaults.keys()
    if wrong:
        raise KeyError(", ".join(sorted(wrong)))
    for name, hint in hints.items():
        yield _value(name, hint, given[name], before) if name in given else "false"


def _value(name: str, hint: Any, lua: str, before: list[str]) -> str:
    if row := _row_of(hint):
        fields = row._fields
        before.append(f"local reply_{name} = {{}} for at, row in ipairs({lua} or {{}}) do at = at * {len(fields)}")
        last = len(fields) - 1
        before += [f"reply_{name}[at - {last - at}] = row.{field} or false" for at, field in enumerate(fields)]
        before.append("end")
        return f"reply_{name}"
    kind = optional(hint)[0]
    if not is_group(kind):
        return lua if NEVER_NIL.fullmatch(lua) else f"{lua} or false"
    if lua.startswith("{"):
        return f"{{{', '.join(_values(kind, _table(lua, 1)[0], before))}}}"
    before.append(f"local reply_{name} = {lua}")
    # the statements before the array must not depend on it
    guarded = {each: f"reply_{name} and " for each, hint in get_type_hints(kind).items() if _has_names(hint)}
    given = {each: f"{guarded.get(each, '')}reply_{name}.{each}" for each in kind._fields}
    return f"reply_{name} and {{{', '.join(_values(kind, given, before))}}} or false"


def _has_names(hint: Any) -> bool:
    return bool(_row_of(hint)) or is_group(optional(hint)[0])


def _row_of(hint: Any) -> Any:
    """The NamedTuple of the items of a list or tuple, or None."""
    inside = get_args(hint)
    return inside[0] if get_origin(hint) in (list, tuple) and is_group(inside[0]) else None


def _maker(kind: Any) -> Callable[[Sequence[Any]], Any]:
    """A function that makes the NamedTuple from its values on the wire."""
    readers = [_reader(hint, kind._field_defaults.get(each)) for each, hint in get_type_hints(kind).items()]
    return lambda values: tuple.__new__(kind, [read(value) for read, value in zip(readers, values, strict=True)])


def _reader(hint: Any, default: Any) -> Read:
    kind, may_be_none = optional(hint)
    read = _value_reader(kind)
    if not may_be_none and default is None:
        return read
    return lambda value: default if value is None else read(value)


def _value_reader(kind: Any) -> Read:
    origin = get_origin(kind)
    if kind in (int, float, bool):
        return kind  # type: ignore[no-any-return]
    if kind is str or origin is Literal:
        return bytes.decode
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: kind(value.decode())
    if is_group(kind):
        return _maker(kind)
    if origin in (list, tuple):
        return _list_reader(origin, kind)
    return _dict_reader(*get_args(kind)) if origin is dict else lambda value: value


def _list_reader(origin: Any, kind: Any) -> Read:
    inside = get_args(kind)[0]
    if row := _row_of(kind):
        size, make = len(row._fields), _maker(row)
        return lambda flat: origin(make(flat[at : at + size]) for at in range(0, len(flat), size))
    read = _value_reader(inside)
    return origin if inside in (bytes, Any) else lambda value: origin(map(read, value))


def _dict_reader(name: Any, value: Any) -> Read:
    if name is bytes and value is bytes:
        return lambda flat: dict(zip(flat[::2], flat[1::2], strict=True))
    read_name, read = _value_reader(name), _value_reader(value)
    return lambda flat: {read_name(flat[at]): read(flat[at + 1]) for at in range(0, len(flat), 2)}
