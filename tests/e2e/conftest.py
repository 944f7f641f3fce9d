"""Which tests' processes are measured: coverage costs each of them CPU time, and hundreds are started."""

from collections.abc import Iterator

import pytest

MEASURED = {
    "test_compatible", "test_happy_path", "test_operators", "test_outages", "test_stack",
    "test_startup", "test_telling",
}  # fmt: skip
"""Between them they run every kind of process through its whole life; others run the same code, harder."""


@pytest.fixture(scope="module", autouse=True)
def processes_measured_or_not(request: pytest.FixtureRequest) -> Iterator[None]:
    """Coverage starts in a process by what its environment says."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem not in MEASURED:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield
