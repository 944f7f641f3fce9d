"""The map of Redis keys: each family once, each key in one family, the page that is made from it."""

import re
from pathlib import Path

import pytest

from worker.store import keys
from worker.store.key_family import Family, Life
from worker.store.keys_page import page

ROOT = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("family", keys.FAMILIES.values(), ids=keys.FAMILIES)


def names_of(family: Family) -> list[str]:
    """One for each that its pattern has."""
    return [f"n{number}" for number in range(len(re.findall("<[a-z_]+>", family.pattern)))]


@EACH
def test_a_key_that_a_family_makes_is_known_to_be_of_it(family: Family) -> None:
    assert keys.family_of(family(*names_of(family))) is family


@EACH
def test_a_key_has_as_many_names_as_its_pattern(family: Family) -> None:
    with pytest.raises(TypeError):
        family(*names_of(family), "one more")


@EACH
def test_what_is_permanent_says_what_bounds_it(family: Family) -> None:
    assert bool(family.bound) or family.life is not Life.PERMANENT


def test_a_key_of_no_family_is_known_as_that() -> None:
    assert keys.family_of("somebody:else") is None


def test_the_page_is_made_from_the_map() -> None:
    """After a change of the map: `python -m worker.store.keys_page > docs/redis.md`."""
    assert (ROOT / "docs/redis.md").read_text() == page()
