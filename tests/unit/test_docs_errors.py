"""What docs/errors.md says is what the code does."""

import re
from pathlib import Path

from api.problems import CODES


def test_every_problem_code_and_its_status_is_in_the_docs() -> None:
    """And no other."""
    text = Path("docs/errors.md").read_text().partition("## Why a job failed")[0]
    assert {(code, int(status)) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE)} == {
        (code, status) for code, (status, _) in CODES.items()
    }


def test_every_code_of_a_failed_job_is_in_the_docs() -> None:
    """And no other."""
    text = Path("docs/errors.md").read_text().partition("## Why a job failed")[2]
    code = "".join(Path(f"worker/{name}.py").read_text() for name in ("decisions", "endings", "attempts"))
    coded = set(re.findall(r'Problem\("(\w+)"', code))
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == coded
