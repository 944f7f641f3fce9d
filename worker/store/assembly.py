"""What a Lua script is made of: the parts that it includes, its arguments as locals, its reply by name.

The order is: flags, clock.lua, the other included files, the arguments, `reply`, the script itself. What a script needs
of lua/includes/ it names in lines of their own, `-- @include queue`; a file there may include others, and each is taken
in once. `KEY.job .. id` names a key by its family in worker/store/keys.py: what stands for it is the text 'job:'.
"""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from worker.store.keys import FAMILIES

LUA = files("worker").joinpath("store", "lua")
INCLUDE = re.compile(r"^-- @include (\S+)$", re.MULTILINE)
KEY = re.compile(r"\bKEY\.(\w+)")
REPLY = re.compile(r"\breturn reply\{")
BY_POSITION = re.compile(r"^.*\breturn \{now\b.*$", re.MULTILINE)
TOKEN = re.compile(r"--[^\n]*|'[^'\n]*'|\"[^\"\n]*\"|[({\[]|[)}\]]|\w+\s*=(?!=)|.", re.DOTALL)


class ScriptError(Exception):
    """A script that cannot be put together. Found when its module is imported, never later."""


class Line(NamedTuple):
    """One line of a script that was put together, and where it is from; number 0 where it was generated."""

    text: str
    file: str
    number: int


class Reply(NamedTuple):
    """The names that a script must reply with, and those that it may."""

    needed: frozenset[str]
    names: Sequence[str]
    function: Sequence[str]
    """Lines of Lua that make `reply`."""


class Assembly:
    """Puts scripts together out of a folder."""

    def __init__(self, folder: Traversable = LUA) -> None:
        self._folder = folder

    def lines(self, name: str, flags: str, arguments: Sequence[str], reply: Reply | None) -> list[Line]:
        """A whole script. Without `reply` it takes ARGV as it comes, and replies with an array."""
        text = self._read(f"{name}.lua")
        if reply:
            _check_replies(f"{name}.lua", text, reply)
        generated = [*arguments, *(reply.function if reply else ())]
        return [
            Line(f"#!lua flags={flags}", f"{name}.lua", 0),
            *(line for part in self._included(text) for line in self._lines_of(f"includes/{part}.lua")),
            *(Line(each, f"{name}.lua", 0) for each in generated),
            *self._lines_of(f"{name}.lua"),
        ]

    def _read(self, file: str) -> str:
        path = self._folder.joinpath(*file.split("/"))
        if not path.is_file():
            raise ScriptError(f"there is no lua/{file}")
        return path.read_text()

    def _lines_of(self, file: str) -> Iterator[Line]:
        for number, text in enumerate(self._read(file).splitlines(), 1):
            code, dashes, comment = text.partition("--")
            for name in KEY.findall(code):
                if name not in FAMILIES:
                    raise ScriptError(f"{file}:{number}: KEY.{name} is not in worker/store/keys.py")
            yield Line(KEY.sub(lambda found: f"'{FAMILIES[found[1]].prefix}'", code) + dashes + comment, file, number)

    def _included(self, text: str) -> list[str]:
        """The names of what a script includes, each once and after what it includes itself. All include `clock`."""
        found: list[str] = []

        def take(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                raise ScriptError(f"lua/includes/: {' includes '.join((*path[path.index(name) :], name))}")
            if name not in found:
                for each in INCLUDE.findall(self._read(f"includes/{name}.lua")):
                    take(each, (*path, name))
                found.append(name)

        for name in ("clock", *INCLUDE.findall(text)):
            take(name, ())
        return found


def _check_replies(file: str, text: str, reply: Reply) -> None:
    if by_position := BY_POSITION.search(text):
        raise ScriptError(f"{file}: reply by name, not by position: {by_position[0].strip()}")
    for found in REPLY.finditer(text):
        given = set(_names(text[found.end() :]))
        if wrong := given.symmetric_difference(given & set(reply.names) | reply.needed):
            number = text.count("\n", 0, found.start()) + 1
            raise ScriptError(f"{file}:{number}: unknown or missing in the reply: {', '.join(sorted(wrong))}")


def _names(rest: str) -> Iterator[str]:
    """The names of a Lua table, from behind its opening brace."""
    depth = 0
    for found in TOKEN.findall(rest):
        depth += (found in "({[") - (found in ")}]")
        if depth < 0:
            return
        if depth == 0 and len(found) > 1 and found.endswith("="):
            yield found[:-1].strip()
