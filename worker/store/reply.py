"""What a Python function's return type says of a script's reply: how Lua writes it, and how it is read.

On the wire it is an array: the time, then a value for each name. `false` stands for what a script leaves out, as Redis
ends an array at the first nil.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from worker.store.assembly import Reply, ScriptError
from worker.store.signature import is_group, optional

Read = Callable[[Any], Any]


class ReplyReader:
    """Reads replies as a NamedTuple. A field of it named `now` is the time."""

    def __init__(self, name: str, kind: Any) -> None:
        if kind is not NoneType and not is_group(kind):
            raise ScriptError(f"{name}: the reply must be a NamedTuple, or None")
        hints = {} if kind is NoneType else get_type_hints(kind)
        defaults: Mapping[str, Any] = {} if kind is NoneType else kind._field_defaults
        self._make = None if kind is NoneType else _maker(kind)
        self._first = 0 if "now" in hints else 1
        hints.pop("now", None)
        needed = frozenset(each for each in hints if each not in defaults)
        self.shape = Reply(needed, tuple(hints), tuple(_function(hints)))

    def read(self, reply: Sequence[Any]) -> Any:
        """The reply as that type."""
        return self._make and self._make(reply[self._first :] if self._first else reply)


def _function(hints: Mapping[str, Any]) -> Iterator[str]:
    """Lua's `reply`, and before it a function for each of its values that has names itself."""
    if not hints:
        yield "local function reply() return {now} end"
        return
    for name, hint in hints.items():
        if inner := _row_of(hint):
            yield from _flat_rows(name, list(get_type_hints(inner)))
        elif is_group(optional(hint)[0]):
            yield from _nested(name, get_type_hints(optional(hint)[0]))
    yield f"local function reply(it) return {{now, {_values(hints)}}} end"


def _values(hints: Mapping[str, Any]) -> str:
    has_names = (name for name, hint in hints.items() if _row_of(hint) or is_group(optional(hint)[0]))
    functions = dict.fromkeys(has_names)
    return ", ".join(f"told_{name}(it.{name})" if name in functions else f"it.{name} or false" for name in hints)


def _nested(name: str, hints: Mapping[str, Any]) -> Iterator[str]:
    for field, hint in hints.items():
        if inner := _row_of(hint):
            yield from _flat_rows(field, list(get_type_hints(inner)))
    yield f"local function told_{name}(it) return it and {{{_values(hints)}}} or false end"


def _flat_rows(name: str, fields: Sequence[str]) -> Iterator[str]:
    yield f"local function told_{name}(rows)"
    yield "  local flat = {}"
    yield "  for _, it in ipairs(rows or {}) do"
    yield from (f"    flat[#flat + 1] = it.{field} or false" for field in fields)
    yield "  end"
    yield "  return flat"
    yield "end"


def _row_of(hint: Any) -> Any:
    """The NamedTuple that a list or tuple is of, or None."""
    inside = get_args(hint)
    return inside[0] if get_origin(hint) in (list, tuple) and is_group(inside[0]) else None


def _maker(kind: Any) -> Callable[[Sequence[Any]], Any]:
    """Makes a NamedTuple of its values as they came."""
    readers = [_reader(hint, kind._field_defaults.get(each)) for each, hint in get_type_hints(kind).items()]
    return lambda values: kind._make([read(value) for read, value in zip(readers, values, strict=True)])


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
