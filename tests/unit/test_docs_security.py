"""docs/security.md leaves no threat out, and names only files and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
ROW = re.compile(r"^\|(?! threat|---| \|)(.*)\|$", re.M)
FILE = re.compile(r"`((?:api|config|deploy|docs|worker)/[\w./-]+|[\w-]+\.(?:lock|yml)|Makefile|Dockerfile)`")
TEST = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")
NUMBERED = [f"B{number}" for number in range(1, 24)]
SHARING = ["Names", "Receivers", "Decoders", "Trickling", "Words", "Bulk", "Lists", "Batches", "Followers"]
OTHERS = ["Memory", "Poisoned messages", "The upstream's words", "A leaked callback token", "Supply chain"]


def rows() -> list[list[str]]:
    """The cells of each row: name, threat, defence, tests, what is not defended."""
    return [[cell.strip() for cell in row.split("|")] for row in ROW.findall(PAGE)]


def test_every_threat_has_a_row() -> None:
    """Those of the list, and each way in which one could stop the others. A new one gets its row here as well."""
    assert [row[0] for row in rows()] == NUMBERED + SHARING + OTHERS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_is_whole(row: list[str]) -> None:
    """It names a threat, a defence in a file that exists and a test that exists, or says that there is none yet."""
    assert len(row) == 5, "a cell holds a |"
    threat, defence, tests = row[1:4]
    assert threat
    assert FILE.findall(defence) or defence.startswith(("none yet", "see *"))
    assert TEST.findall(tests) or tests == "none yet"
    assert [file for file in FILE.findall(defence) if not (ROOT / file).exists()] == []
    assert [f"{file}::{test}" for file, test in TEST.findall(tests) if not is_test(file, test)] == []


def is_test(file: str, name: str) -> bool:
    path = ROOT / "tests" / file
    return path.exists() and f"def {name}(" in path.read_text()
