"""What docs/errors.md says is what the code does."""

import re
from pathlib import Path

from api.http.error_page import MEANINGS, PAGE
from api.http.problems import CODES


def test_every_problem_code_and_its_status_is_in_the_docs() -> None:
    """And no other."""
    text = Path("docs/errors.md").read_text().partition("## Why a job failed")[0]
    assert {(code, int(status)) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE)} == {
        (code, status) for code, (status, _) in CODES.items()
    }


def test_the_page_that_a_problems_type_leads_to_has_the_same_words() -> None:
    """Row by row, each with its code as the anchor."""
    text = Path("docs/errors.md").read_text().partition("## Why a job failed")[0]
    rows = re.findall(r"^\| `(\w+)` \| \d{3} \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert {code: (meaning, to_do) for code, meaning, to_do in rows} == MEANINGS
    assert re.findall(r'<tr id="(\w+)">', PAGE) == list(MEANINGS)


def test_every_code_of_a_failed_job_is_in_the_docs() -> None:
    """And no other."""
    text = Path("docs/errors.md").read_text().partition("## Why a job failed")[2]
    code = "".join(
        Path(f"worker/job/{name}.py").read_text() for name in ("decisions", "endings", "attempts", "outcomes")
    )
    coded = set(re.findall(r'Failure\("(\w+)"', code))
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == coded
