"""A provider's request vocabulary: the attributes that the API takes, checks and documents, and that are sent on."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a request may hold. Values are checked by name first, then by form, then adjusted."""

    attributes: Any
    """A TypedDict: every attribute with its form (forms.py), in the order of the documentation."""
    ranges: Mapping[str, tuple[int, int]]
    """Lowest and highest value of attributes that are whole numbers."""
    number_texts: Mapping[str, re.Pattern[str]]
    """Attributes that are numbers, and which texts are taken for one."""
    flags: frozenset[str]
    """Attributes that are `yes` or `no`, and may come as booleans."""
    free_text: frozenset[str]
    """Attributes whose value a message never repeats."""
    allowed: Mapping[str, str]
    """What is allowed, in words, for the message that refuses a value."""
    prompt_characters: int
    schedulers: tuple[str, ...]
    adjust_given: Callable[[Values], list[Values]]
    """Changes what was given before it is checked; returns each change as field, from, to, reason."""
    adjust_checked: Callable[[Values, Values], list[Values]]
    """The same for a checked request; its second argument is what was given."""
