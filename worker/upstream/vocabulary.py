"""A provider's request vocabulary: the attributes that the API accepts, validates, documents and sends on."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a request may contain. Names are checked first, then types; then values are adjusted."""

    attributes: Any
    """A TypedDict: every attribute with its type (forms.py), in the order of the documentation."""
    ranges: Mapping[str, tuple[int, int]]
    """Lowest and highest value of attributes that are whole numbers."""
    number_texts: Mapping[str, re.Pattern[str]]
    """By attribute that is a number: the texts that are accepted as numbers."""
    flags: frozenset[str]
    """Attributes that are `yes` or `no`, and may come as booleans."""
    free_text: frozenset[str]
    """Attributes whose value a message never repeats."""
    allowed: Mapping[str, str]
    """What is allowed, in words, for the message that refuses a value."""
    prompt_characters: int
    schedulers: tuple[str, ...]
    adjust_given: Callable[[Values], list[Values]]
    """Adjusts a request before validation; returns each change as field, from, to, reason."""
    adjust_checked: Callable[[Values, Values], list[Values]]
    """The same after validation; its second argument is the request as given."""
