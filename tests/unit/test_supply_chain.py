"""What is installed is what the lock file names, byte for byte, and nothing in it is older than a known hole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
REQUIREMENTS = [each for each in LOCK.replace("\\\n", " ").splitlines() if each.strip() and not each.startswith("#")]
REQUIREMENT = re.compile(r"([a-z0-9-]+)==([0-9][\w.]*)( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
FLOORS = {
    "starlette": (1, 3, 1),  # CVE-2025-62727 (Range), CVE-2026-48710 (Host), -54282 and -54283 (limits of forms)
    "python-multipart": (0, 0, 26),
    "redis": (4, 5, 5),  # CVE-2023-28858, -28859: a cancelled call leaves its answer to the next caller
    "h11": (0, 16, 0),  # CVE-2025-43859: chunked bodies
    "celery": (5, 2, 2),  # CVE-2021-23727
    "flower": (1, 2, 0),  # CVE-2022-30034
    "pillow": (13, 0, 0),
}
"""By package: the first version without the holes that we know of. One that is not locked has no version."""


def locked() -> dict[str, tuple[int, ...]]:
    """Each package's version as numbers."""
    found = {match[1]: match[2] for each in REQUIREMENTS if (match := REQUIREMENT.fullmatch(each.strip()))}
    return {name: tuple(int(part) for part in re.findall(r"\d+", version)) for name, version in found.items()}


def test_every_requirement_is_one_version_with_hashes() -> None:
    """No range, no address, no path: `pip` can install nothing but these bytes."""
    assert len(REQUIREMENTS) > 100
    assert [each[:60] for each in REQUIREMENTS if not REQUIREMENT.fullmatch(each.strip())] == []


def test_the_lock_file_names_no_index_and_no_place() -> None:
    """Where the bytes come from is the machine's own business, and their hashes are checked wherever that is."""
    assert re.findall(r"https?:|file:|^-|(?<!-)--(?!hash)[a-z-]+|\.\./|^/", LOCK, re.M) == []


def test_hashes_are_required_where_the_lock_file_is_installed() -> None:
    """On a machine, in the image, and where known vulnerabilities are looked up."""
    for file in ("Makefile", "Dockerfile"):
        text = (ROOT / file).read_text().replace("\\\n", " ")
        uses = [line for line in text.splitlines() if "-r requirements.lock" in line]
        assert uses, file
        assert all("--require-hashes" in line for line in uses), file


@pytest.mark.parametrize("name", FLOORS)
def test_nothing_is_older_than_its_known_holes(name: str) -> None:
    """The list is of holes that reach us; `make audit-deps` knows the others, where there is a network."""
    version = locked().get(name)
    assert version is None or version >= FLOORS[name]


def test_the_workflow_looks_for_known_vulnerabilities() -> None:
    """And keeps the bill of materials."""
    workflow = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "make audit-deps" in workflow
    assert "make sbom" in workflow
