"""Small faults for Lua scripts, one at a time, by token: no tool for Lua is kept up. Pure.

Comments and texts are never touched, but for the words NX, XX, GT and LT of a Redis command, which are dropped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"(?P<comment>--[^\n]*)|(?P<text>'[^'\n]*'|\"[^\"\n]*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<number>\d+\.?\d*)|(?P<operator>==|~=|<=|>=|\.\.\.?|[-+*/<>=#%^])|(?P<other>[^\s])"
)
OPERATORS = {"==": "~=", "~=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "+": "-", "*": "/", "/": "*"}
WORDS = {"and": "or", "or": "and", "true": "false", "false": "true", "not": ""}
OPTION = re.compile(r"'(?:NX|XX|GT|LT)', ")
CONDITION = re.compile(r"\b(if|elseif|while) (.+?) (then|do)\b")
STATEMENT = re.compile(r"^\s*(?:redis\.call\(.*\)|\w+\(.*\)|[\w.\[\]]+(?:, [\w.\[\]]+)* = .+)$")
ONE_LINE_IF = re.compile(r"^\s*if .+ then .+ end$")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: the line it is on, what stood there, and the whole script with it."""

    line: int
    was: str
    becomes: str
    script: str


def mutants(script: str) -> Iterator[Mutant]:
    """All of them, in the order of the script."""
    at = 0
    for number, line in enumerate(script.splitlines(keepends=True), 1):
        for changed in dict.fromkeys(_changed(line.rstrip("\n"))):
            whole = script[:at] + changed + "\n" + script[at + len(line) :]
            yield Mutant(number, line.strip(), changed.strip(), whole)
        at += len(line)


def _changed(line: str) -> Iterator[str]:
    code = _without_comment(line)
    yield from _changed_tokens(line)
    for found in OPTION.finditer(code):
        yield line[: found.start()] + line[found.end() :]
    for found in CONDITION.finditer(code):
        for always in ("true", "false"):
            yield line[: found.start(2)] + always + line[found.end(2) :]
    if (STATEMENT.match(code) and _is_closed(code)) or ONE_LINE_IF.match(code):
        yield ""


def _changed_tokens(line: str) -> Iterator[str]:
    before = ""
    for token in TOKEN.finditer(line):
        text = token.group()
        becomes = None
        if token.lastgroup == "operator" and text in OPERATORS:
            becomes = OPERATORS[text]
        elif token.lastgroup == "operator" and text == "-" and (before.isalnum() or before in (")", "]")):
            becomes = "+"
        elif token.lastgroup == "name" and text in WORDS:
            becomes = WORDS[text]
        elif token.lastgroup == "number":
            becomes = f"{text}.5" if "." not in text and before in ("*", "/") else f"({text} + 1)"
        if becomes is not None:
            yield line[: token.start()] + becomes + line[token.end() :]
        before = text[-1] if token.lastgroup == "name" and text not in ("return", "and", "or") else text


def _without_comment(line: str) -> str:
    for token in TOKEN.finditer(line):
        if token.lastgroup == "comment":
            return line[: token.start()].rstrip()
    return line


def _is_closed(code: str) -> bool:
    """Whether the statement ends on its line."""
    return all(code.count(each) == code.count(other) for each, other in ("()", "[]", "{}")) and not code.endswith(",")
