"""Lua scripts called from Python, by a function without a body whose signature is the calling contract.

    class Claimed(NamedTuple):
        verdict: str

    @script
    def claim(*, push: Push, job_id: str, version: int | None, urls: Sequence[str]) -> Claimed:
        \"\"\"What it does.\"\"\"

The script is the Lua file with the function's name, in worker/store/lua/. Its arguments are locals with these names,
and it replies `return reply{verdict = 'claimed'}`. The declaration is checked when the module is imported. The type
checker checks a call, `await lane.run(claim, …)` with arguments by name. On the wire both are arrays.

    in Python                in Lua
    str, bytes               text
    int, float               number; as AsText[int], for one that only goes on to Redis, text
    bool                     true or false
    … or None                nil where it is None, or empty
    a NamedTuple             its fields, each as if it were an argument
    Sequence of NamedTuples  a list of tables with these names; as the last argument only
    Sequence of others       a list of texts; as the last argument only

A reply may leave out fields with defaults. Lua's true, false and nil become bool or None, numbers int, texts str or
bytes, the reply of HGETALL a dict, a table with names a NamedTuple, and a list of these a list of NamedTuples.
"""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints, overload

from worker.store.assembly import Assembly
from worker.store.reply import Reply
from worker.store.signature import Arguments, Words
from worker.store.signature import AsText as AsText

P = ParamSpec("P")
R = TypeVar("R")
ASSEMBLY = Assembly()


class Script(Generic[P, R]):
    """A Lua script, known to Redis by its SHA-1. Made by @script; worker.store.lane.Lane.run runs it.

    A script that only brings new load is refused while Redis is out of memory. All others must run even then: they
    record what is paid for, or free memory.
    """

    def __init__(
        self,
        name: str,
        locals_: Sequence[str],
        expand: Callable[[str, str], str],
        words: Callable[..., Words],
        read: Callable[[Any], R],
        *,
        new_load: bool,
    ) -> None:
        flags = "allow-cross-slot-keys" if new_load else "allow-oom,allow-cross-slot-keys"
        self.name, self.words, self.read = name, words, read
        self.lines = ASSEMBLY.lines(name, flags, locals_, expand)
        self.source = "".join(f"{line.text}\n" for line in self.lines)
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@overload
def script(function: Callable[P, R], /) -> Script[P, R]: ...
@overload
def script(*, new_load: bool) -> Callable[[Callable[P, R]], Script[P, R]]: ...
def script(function: Callable[P, R] | None = None, /, *, new_load: bool = False) -> Any:
    """The script of that name, with the function's signature. Raises ScriptError if they do not fit."""
    if function is None:
        return lambda function: _script(function, new_load=new_load)
    return _script(function, new_load=new_load)


def _script(function: Callable[P, R], *, new_load: bool) -> Script[P, R]:
    name = function.__name__
    arguments, reply = Arguments(function), Reply(name, get_type_hints(function)["return"])
    return Script(name, arguments.locals, reply.expand, arguments.words, reply.read, new_load=new_load)
