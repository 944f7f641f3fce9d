"""No key of Redis is spelt out but in the map: worker/store/keys.py in Python, `KEY.<family>` in Lua."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.store.keys import FAMILIES, KEYS

ROOT = Path(__file__).parents[2]
MAP = {ROOT / "worker/store/keys.py", ROOT / "config/broker.py"}
PYTHON = sorted({path for folder in ("api", "worker", "config") for path in (ROOT / folder).rglob("*.py")} - MAP)
LUA = sorted((ROOT / "worker/store/lua").rglob("*.lua"))
PREFIXES = tuple(prefix for prefix in KEYS.values() if prefix.endswith(":"))
WHOLE = {each.prefix for each in FAMILIES.values() if each.prefix == each.pattern}
COMMAND = re.compile("[A-Z]{3,}")
NAMES_OF_LANES = {"telling": ["tenant:"]}
"""Of a script that names lanes: their keys are `telling:<lane>`."""
TEXT = re.compile(r"(?<!\.\. )'([^'\n]*)'")


def spelt_in_python(source: str) -> Iterator[str]:
    """Texts that begin like a key of many; and whole keys, where a command of Redis is called with them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PREFIXES):
            yield f"line {node.lineno}: {node.value}"
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {each}" for each in _arguments(node) if each in WHOLE)


def _arguments(call: ast.Call) -> list[str]:
    """The first two texts of a call that may be a command: `lane.call("GET", key)` or `redis.get(key)`."""
    texts = [each.value for each in call.args[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "redis":
        return texts[:1]
    return texts[1:] if texts and COMMAND.fullmatch(texts[0]) else []


def spelt_in_lua(source: str) -> Iterator[str]:
    """Texts with which a key of many begins; and whole keys behind the name of a command."""
    for number, line in enumerate(source.splitlines(), 1):
        code = line.partition("--")[0]
        yield from (f"line {number}: {each}" for each in TEXT.findall(code) if each.startswith(PREFIXES))
        whole = re.findall(r"redis\.call\('[A-Z]+', '([^']*)'", code)
        yield from (f"line {number}: {each}" for each in whole if each in WHOLE)


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_takes_keys_from_the_map(path: Path) -> None:
    assert list(spelt_in_python(path.read_text())) == []


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.stem)
def test_lua_names_the_family(path: Path) -> None:
    """What `KEY.<family>` it names must be in the map is checked where scripts are put together."""
    allowed = NAMES_OF_LANES.get(path.stem, [])
    assert [each for each in spelt_in_lua(path.read_text()) if each.partition(": ")[2] not in allowed] == []


@pytest.mark.parametrize(
    "source",
    [
        'lane.call("GET", "paused")',
        'redis.zcard("due")',
        'lane.call("HGETALL", f"job:{an_id}")',
        'key = "usage:" + day',
    ],
)
def test_a_key_that_is_spelt_out_in_python_is_found(source: str) -> None:
    assert len(list(spelt_in_python(source))) == 1


@pytest.mark.parametrize("source", ["redis.call('GET', 'paused')", "local key = 'job:' .. id"])
def test_a_key_that_is_spelt_out_in_lua_is_found(source: str) -> None:
    assert len(list(spelt_in_lua(source))) == 1
