"""The fuzzer's targets hold for their seeds, for a few structured inputs, and for whatever was once found."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.every import TARGETS

BRIEF = settings(
    max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
NAMES = sorted(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_for_its_seeds(name: str) -> None:
    """A seed that breaks its promise would end every run at once."""
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(data=st.data())
def test_a_target_holds_for_structured_bytes(name: str, data: st.DataObject) -> None:
    """A few seconds of what `make fuzz-parsers` does for hours."""
    TARGETS[name].check(data.draw(TARGETS[name].examples))
