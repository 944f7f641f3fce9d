"""The OpenAPI is true: a fuzzer that believes it finds nothing, with a key and without one, over real processes.

SCHEMA_EXAMPLES sets the test cases of each call in the fuzzing phase; `make fuzz EXAMPLES=100` asks for many.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import png, upstream_beside
from tests.support.processes import KEY, Installation

EXAMPLES = os.environ.get("SCHEMA_EXAMPLES", "1")
SEED = "20261124"
ARGUMENTS = ["--checks", "all", "--seed", SEED, "--request-timeout", "60", "--no-color", "--max-examples", EXAMPLES]
ARGUMENTS += ["--max-response-time", "60"]  # OpenAI's call waits for its job, which may take long on a busy machine


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for both runs. Its upstream answers at once with a small image: nothing is painted, and OpenAI's
    call, which waits for its job, is answered."""
    with upstream_beside() as upstream:
        upstream.inline = png()
        quick = {"upstream_url": upstream.url, "upstream_max_in_flight": "500"}
        with Installation(tmp_path_factory.mktemp("schema"), **quick) as installation:
            yield installation


@pytest.mark.timeout(600)
@pytest.mark.parametrize("header", [[], ["-H", f"Authorization: Bearer {KEY}"]], ids=["without-key", "with-key"])
def test_a_fuzzer_that_believes_the_schema_finds_nothing(here: Installation, header: list[str], tmp_path: Path) -> None:
    """All checks: no 5xx, no undeclared status or type or shape, nothing bad taken, nothing good refused."""
    st = str(Path(sys.executable).with_name("st"))
    address = f"{here.settings['DARKROOM_PUBLIC_URL']}/openapi.json"
    found = subprocess.run(
        [st, "run", address, *ARGUMENTS, *header],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.support.schema_hooks", "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    print(found.stdout[-1500:])
    assert found.returncode == 0, found.stdout[-8000:]
