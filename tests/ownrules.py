"""`make check`: rules of our own over the product's code, where a general linter cannot know what is secret here.

Each rule is a function from a syntax tree to the lines that break it. An exception is a file in ALLOWED, with the
reason.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("api", "worker", "config")
SECRET = re.compile(r"(^|_)(secrets?|tokens?|password|signature|mac|digest|api_key|auth)$")
"""Names of what nobody may find out by timing."""
CONTENT = re.compile(
    r"(^|_)(body|prompt|token|secret|secrets|password|api_key|authorization|headers|content|url|address)$"
)
"""Names of what no log line may hold."""
LOG_CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
CLIENTS = {"AsyncClient", "Client", "ClientSession", "AsyncHTTPTransport", "HTTPTransport", "TCPConnector", "urlopen"}
Rule = Callable[[ast.AST], Iterator[int]]


def own_client(tree: ast.AST) -> Iterator[int]:
    """An HTTP client is made in worker/network/ alone, or on its transport: only there addresses are checked."""
    for call in _calls(tree):
        if _name(call.func) in CLIENTS and not any(word.arg == "transport" for word in call.keywords):
            yield call.lineno


def compared_secret(tree: ast.AST) -> Iterator[int]:
    """Secrets are compared by hmac.compare_digest."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            sides = (node.left, *node.comparators)
            if any(SECRET.search(_name(each)) for each in sides) and not any(map(_is_literal, sides)):
                yield node.lineno


def logged_content(tree: ast.AST) -> Iterator[int]:
    """No body, prompt, key, token or address in a log line: an address may hold a token."""
    for call in _calls(tree):
        if isinstance(call.func, ast.Attribute) and call.func.attr in LOG_CALLS and _name(call.func.value) in LOGS:
            named = (_name(each) for value in _values(call) for each in ast.walk(value))
            if any(map(CONTENT.search, named)):
                yield call.lineno


def code_from_data(tree: ast.AST) -> Iterator[int]:
    """Nothing that comes from outside becomes code, and no certificate is left unchecked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names] + [getattr(node, "module", None) or ""]
            if {"pickle", "marshal", "shelve", "yaml", "dill"} & {each.partition(".")[0] for each in names}:
                yield node.lineno
    for call in _calls(tree):
        if isinstance(call.func, ast.Name) and call.func.id in ("eval", "exec", "compile", "__import__"):
            yield call.lineno
        if any(_is(word, "shell", value=True) or _is(word, "verify", value=False) for word in call.keywords):
            yield call.lineno


def shown_secret(tree: ast.AST) -> Iterator[int]:
    """What a SecretStr hides is not put into a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FormattedValue) and any(
            _name(call.func) == "get_secret_value" for call in _calls(node)
        ):
            yield node.lineno


def asserted(tree: ast.AST) -> Iterator[int]:
    """`assert` is left out by `python -O`: the product checks with `if`."""
    yield from (node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert))


LOGS = {"log", "logger", "logging"}
RULES: dict[str, Rule] = {
    each.__name__: each
    for each in (own_client, compared_secret, logged_content, code_from_data, shown_secret, asserted)
}
ALLOWED: dict[tuple[str, str], str] = {
    ("own_client", "worker/network/transport.py"): "this is the one",
    ("own_client", "api/cli/caller/connection.py"): "a caller's command, to the API that the caller names",
    ("own_client", "api/cli/stack/demo.py"): "to the API of the same stack, on loopback",
    ("own_client", "api/cli/stack/stack.py"): "to the parts of the same stack, on loopback",
    ("own_client", "worker/operate/doctor.py"): "an operator's command, to DARKROOM_PUBLIC_URL",
    ("own_client", "worker/upstream/modelslab/sandbox/generator.py"): "the sandbox, for development, calls any address",
    ("logged_content", "worker/upstream/modelslab/sandbox/generator.py"): "the id in the body, nothing else of it",
    ("code_from_data", "worker/store/signature.py"): "made at import, of names and types in our own source",
    ("asserted", "worker/telling/notifier.py"): "tells the type checker what the script before it has decided",
}
"""(rule, file): why this file may."""


def main() -> int:
    """Prints what is wrong; the exit code says whether something is."""
    wrong = list(complaints(file for top in PRODUCT for file in sorted((ROOT / top).rglob("*.py"))))
    print(*wrong, f"own rules: {len(RULES)} rules, {len(ALLOWED)} exceptions, {len(wrong)} complaints", sep="\n")
    return bool(wrong)


def complaints(files: Iterable[Path]) -> Iterator[str]:
    """A line for each place that breaks a rule; and for each exception that nothing needs any more."""
    unused = set(ALLOWED)
    for file in files:
        path, tree = str(file.relative_to(ROOT)), ast.parse(file.read_text())
        for name, rule in RULES.items():
            lines = list(rule(tree))
            if (name, path) in ALLOWED:
                unused -= {(name, path)} if lines else set()
            else:
                yield from (f"{path}:{line}: {name}: {rule.__doc__}" for line in lines)
    yield from (f"{path}: the exception from {name} is not needed" for name, path in sorted(unused))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(word.value for word in call.keywords)]


def _name(node: ast.AST) -> str:
    """The last part of a name: `settings.secret` is a secret."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant)


def _is(word: ast.keyword, name: str, *, value: bool) -> bool:
    return word.arg == name and isinstance(word.value, ast.Constant) and word.value.value is value


if __name__ == "__main__":
    sys.exit(main())
