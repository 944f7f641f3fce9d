"""Assembles a Lua script: included files, arguments as locals, and its reply by name.

The order is: flags, clock.lua, the other included files, the arguments, the script itself. A script includes a file of
lua/includes/ by a line `-- @include queue`. An included file may include others; each is included once. Two things are
expanded here, so that they cost nothing in Redis: `KEY.job .. id` names a key by its family in worker/store/keys.py,
and becomes 'job:' .. id. `return reply{…}` names values, and becomes an array (worker/store/reply.py). Lines keep their
numbers.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from worker.store.keys import FAMILIES

LUA = files("worker").joinpath("store", "lua")
INCLUDE = re.compile(r"^-- @include (\S+)$", re.MULTILINE)
KEY = re.compile(r"\bKEY\.(\w+)")


class ScriptError(Exception):
    """A script cannot be assembled. Raised when its module is imported, never later."""


class Line(NamedTuple):
    """One line of an assembled script, and its origin; number 0: generated."""

    text: str
    file: str
    number: int


class Assembly:
    """Assembles the scripts of a folder. What several scripts include is read and expanded once."""

    def __init__(self, folder: Traversable = LUA) -> None:
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._parts: dict[str, list[Line]] = {}

    def lines(
        self, name: str, flags: str, arguments: Sequence[str] = (), expand: Callable[[str, str], str] | None = None
    ) -> list[Line]:
        """The lines of a whole script. `expand` expands the replies in a file; without it, replies are plain arrays."""
        file = f"{name}.lua"
        text = self._read(file)
        return [
            Line(f"#!lua flags={flags}", file, 0),
            *(line for part in self._included(text) for line in self._part(part)),
            *(Line(each, file, 0) for each in arguments),
            *self._lines_of(file, expand),
        ]

    def _read(self, file: str) -> str:
        if file not in self._texts:
            path = self._folder.joinpath(*file.split("/"))
            if not path.is_file():
                raise ScriptError(f"there is no lua/{file}")
            self._texts[file] = path.read_text()
        return self._texts[file]

    def _part(self, name: str) -> list[Line]:
        if name not in self._parts:
            self._parts[name] = list(self._lines_of(f"includes/{name}.lua"))
        return self._parts[name]

    def _lines_of(self, file: str, expand: Callable[[str, str], str] | None = None) -> Iterator[Line]:
        text = self._read(file)
        for number, line in enumerate((expand(file, text) if expand else text).splitlines(), 1):
            code, dashes, comment = line.partition("--")
            for name in KEY.findall(code):
                if name not in FAMILIES:
                    raise ScriptError(f"{file}:{number}: KEY.{name} is not in worker/store/keys.py")
            yield Line(KEY.sub(lambda found: f"'{FAMILIES[found[1]].prefix}'", code) + dashes + comment, file, number)

    def _included(self, text: str) -> list[str]:
        """Names of the included files, each once, after those that it includes itself. All scripts include `clock`."""
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
