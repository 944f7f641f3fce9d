"""What the documentation says about the tree is true: paths, sizes of folders, `make` targets, links, minutes."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from config.settings import Settings

ROOT = Path(__file__).parents[2]
TOP = ("api", "config", "deploy", "docs", "tests", "worker")
PATH = re.compile(
    rf"(?<![\w./:{{-])((?:{'|'.join(TOP)})/[\w./-]*[\w/]|(?:lua|unit|integration|e2e)/[\w/]+\.(?:lua|py|txt))"
)
"""A path in a text: from a top folder, or short as in `lua/advance.lua` and `e2e/test_proof.py`."""
SHORT = {"lua": "worker/store/lua", "unit": "tests/unit", "integration": "tests/integration", "e2e": "tests/e2e"}
FILE = re.compile(r"(?<![\w./-])(\w+\.(?:py|lua))\b(?!:)")
"""A file that is named alone, as in "decisions.py"."""
TARGET = re.compile(r"(?<![\w-])make ([a-z][a-z-]+)")
SETTING = re.compile(r"DARKROOM_[A-Z0-9_]+\b(?!_)")
LINES_A_MINUTE = 25
FOREIGN = {"setproctitle.py"}


@cache
def tracked() -> frozenset[str]:
    """Every file of the tree, and every folder that one of them lies in."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    loose = [*ROOT.glob("*"), *(each for top in TOP for each in (ROOT / top).rglob("*"))]  # a tree without git
    files = listed or [str(each.relative_to(ROOT)) for each in loose if each.is_file()]
    return frozenset(files) | {str(parent) for each in files for parent in Path(each).parents}


@cache
def pages() -> dict[str, str]:
    """Every Markdown page by its path."""
    return {each: (ROOT / each).read_text() for each in sorted(tracked()) if each.endswith(".md")}


def words_of_code() -> Iterator[tuple[str, str]]:
    """(path, text) of every docstring and every Lua comment."""
    for each in sorted(tracked()):
        if each.endswith(".py"):
            yield each, "\n".join(texts(ast.parse((ROOT / each).read_text())))
        elif each.endswith(".lua"):
            yield each, "\n".join(re.findall(r"--.*", (ROOT / each).read_text()))


def texts(tree: ast.AST) -> Iterator[str]:
    """Texts that stand alone: of modules, classes, functions, constants, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def missing_paths(text: str) -> list[str]:
    """The paths in a text that lead nowhere, and the files named alone that are nowhere in the tree."""
    found = [(path, SHORT.get(path.partition("/")[0], "")) for path in PATH.findall(text)]
    whole = [f"{folder}/{path.partition('/')[2]}" if folder else path.rstrip("/.") for path, folder in found]
    names = {Path(each).name for each in tracked()} | FOREIGN
    return [path for path in whole if path not in tracked()] + [
        name for name in FILE.findall(text) if name not in names
    ]


def source_lines(folder: str) -> int:
    """Lines of the sources that lie directly in a folder."""
    sources = [*(ROOT / folder).glob("*.py"), *(ROOT / folder).glob("*.lua")]
    return sum(len(each.read_text().splitlines()) for each in sources)


def folders_listed() -> dict[str, int]:
    """The folders of docs/architecture.md with their lines."""
    text = pages()["docs/architecture.md"].partition("## Folders")[2].partition("\n## ")[0]
    return {name: int(lines.replace(",", "")) for name, lines in re.findall(r"^([\w/]+)/ +([\d,]+)  \S", text, re.M)}


def section(page: str, heading: str) -> str:
    """The text below a heading of the second level."""
    return pages()[page].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("page", sorted(pages()))
def test_every_path_in_a_page_exists(page: str) -> None:
    """After a move: correct the pages that name the file."""
    assert missing_paths(pages()[page]) == []


def test_every_path_in_a_docstring_exists() -> None:
    """The same for docstrings, and for comments in Lua."""
    assert {each: missing for each, text in words_of_code() if (missing := missing_paths(text))} == {}


def test_every_make_target_in_a_page_exists() -> None:
    """Only what stands in code counts: "make sure" is no target."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    code = {page: "\n".join(re.findall(r"`[^`]+`|^```.*?^```", text, re.M | re.S)) for page, text in pages().items()}
    assert {page: wrong for page, text in code.items() if (wrong := set(TARGET.findall(text)) - targets)} == {}


def test_every_setting_in_a_page_exists() -> None:
    """But for those of docker-compose and of the tests themselves."""
    compose = re.findall(r"DARKROOM_\w+", (ROOT / "docker-compose.yml").read_text())
    others = {*compose, "DARKROOM_URL"}
    known = {f"DARKROOM_{name.upper()}" for name in Settings.model_fields} | others
    named = {page: {each for each in SETTING.findall(text) if "_TEST_" not in each} for page, text in pages().items()}
    assert {page: wrong for page, names in named.items() if (wrong := names - known)} == {}


@pytest.mark.parametrize("page", sorted(pages()))
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    """To a page or folder that exists, and to a heading that it has."""
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", pages()[page]):
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_folder_with_sources_is_in_the_list_of_folders() -> None:
    """A new room is named in docs/architecture.md, and a removed one is not."""
    sources = {str(Path(each).parent) for each in tracked() if each.endswith((".py", ".lua"))}
    assert set(folders_listed()) == sources - {".", "tests"}


def test_the_list_of_folders_is_true_to_size() -> None:
    """Within a fifth, and a hundred lines: it shows proportions, and need not change with every commit."""
    listed = folders_listed()
    wrong = {each: source_lines(each) for each in listed if not is_near(source_lines(each), listed[each])}
    assert wrong == {}


def is_near(lines: int, said: int) -> bool:
    return abs(lines - said) <= max(100, lines / 5)


def test_the_minutes_of_the_reading_order_are_true() -> None:
    """Each file at 25 lines a minute, and all of them together; README and CONTRIBUTING say the same."""
    text = section("docs/architecture.md", "Reading order")
    rows = re.findall(r"^\| `([\w./-]+)` \| .* \| (\d+) \|$", text, re.M)
    assert len(rows) >= 8
    for path, minutes in rows:
        lines = len((ROOT / path).read_text().splitlines())
        assert abs(int(minutes) - lines / LINES_A_MINUTE) <= max(2, int(minutes) / 4), path
    total = sum(int(minutes) for _, minutes in rows)
    for page in ("docs/architecture.md", "README.md", "CONTRIBUTING.md"):
        assert f"about {total} minutes" in pages()[page].lower(), page
