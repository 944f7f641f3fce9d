"""The arguments of a script from a Python signature: words for the wire, and locals in Lua."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from worker.store.assembly import ScriptError

T = TypeVar("T")
AS_TEXT = "as text"
AsText = Annotated[T, AS_TEXT]
"""A number that Lua gets as text, which saves two conversions if the script only passes it to Redis."""
Words = tuple[Any, ...]
TAKEN = {"now", "shown", "reply", "redis", "cjson", "cmsgpack", "ARGV", "KEYS", "KEY"}


class Arguments:
    """The arguments of a script in order, as words for the wire and as locals in Lua."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = function.__name__
        self._hints = get_type_hints(function, include_extras=True)
        self._hints.pop("return", None)
        parameters = signature(function).parameters.values()
        wrong = [each.name for each in parameters if each.kind is not Parameter.KEYWORD_ONLY or each.name in TAKEN]
        if wrong:
            raise ScriptError(f"{self._name}: not keyword-only, or a name that Lua has already: {', '.join(wrong)}")
        self.locals = tuple(self._locals())
        self.words = self._compiled({each.name: each.default for each in parameters if each.default is not each.empty})

    def _compiled(self, defaults: Mapping[str, Any]) -> Callable[..., Words]:
        """A function of these arguments that returns the words. Compiled, as a dataclass is: it runs for every call.

        So Python itself raises TypeError where an argument is missing, or is none.
        """
        named = ["*"] if self._hints else []
        named += (f"{name}=defaults['{name}']" if name in defaults else name for name in self._hints)
        words = "".join(f"{_in_words(hint, name)}, " for name, hint in self._hints.items())
        function: Callable[..., Words] = eval(f"lambda {', '.join(named)}: ({words})", {"defaults": defaults})  # noqa: S307
        function.__qualname__ = self._name
        return function

    def _locals(self) -> Iterator[str]:
        at, last = 1, list(self._hints)[-1:]
        for name, hint in self._hints.items():
            if get_origin(hint) is Sequence:
                if [name] != last:
                    raise ScriptError(f"{self._name}: only the last argument may be a Sequence, and {name} is not")
                yield from _list(name, get_args(hint)[0], at)
                continue
            for field, inner in (get_type_hints(hint, include_extras=True) if is_group(hint) else {name: hint}).items():
                # a group is the same for many scripts, and not every script uses all of it
                unused = " -- luacheck: ignore 211" if is_group(hint) else ""
                yield f"local {field} = {_in_lua(inner, str(at))}{unused}"
                at += 1


def is_group(hint: Any) -> bool:
    """Whether the type is a NamedTuple, a group of values with names."""
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def optional(hint: Any) -> tuple[Any, bool]:
    """(the type without None, whether None is allowed)."""
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    kinds = [each for each in get_args(hint) if each is not NoneType]
    return kinds[0] if len(kinds) == 1 else hint, len(kinds) < len(get_args(hint))


def _in_words(hint: Any, name: str) -> str:
    """A Python expression for the words of an argument, as part of a tuple."""
    if get_origin(hint) is Sequence:
        row = get_args(hint)[0]
        return f"*[word for row in {name} for word in ({_in_words(row, 'row')},)]" if is_group(row) else f"*{name}"
    if is_group(hint):
        return ", ".join(_in_words(inner, f"{name}.{field}") for field, inner in get_type_hints(hint).items())
    kind, may_be_none = optional(hint)
    if kind is bool:
        return f"'1' if {name} else ''"
    return f"'' if {name} is None else {name}" if may_be_none else name


def _in_lua(hint: Any, at: str) -> str:
    if AS_TEXT in getattr(hint, "__metadata__", ()):
        return f"ARGV[{at}]"
    kind, may_be_none = optional(hint)
    if kind is bool:
        return f"ARGV[{at}] == '1'"
    if kind in (int, float):
        return f"tonumber(ARGV[{at}])" if may_be_none else f"ARGV[{at}] + 0"
    return f"ARGV[{at}] ~= '' and ARGV[{at}] or nil" if may_be_none else f"ARGV[{at}]"


def _list(name: str, hint: Any, first: int) -> Iterator[str]:
    fields = get_type_hints(hint, include_extras=True) if is_group(hint) else {}
    yield f"local {name} = {{}}"
    yield f"for at = {first}, #ARGV, {len(fields) or 1} do"
    if fields:
        yield f"  {name}[#{name} + 1] = {{"
        yield from (
            f"    {field} = {_in_lua(inner, f'at + {at}')}," for at, (field, inner) in enumerate(fields.items())
        )
        yield "  }"
    else:
        yield f"  {name}[#{name} + 1] = ARGV[at]"
    yield "end"
