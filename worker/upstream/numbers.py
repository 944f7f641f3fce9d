"""Numbers as text: exactly those of a range, as a pattern that both the validation and OpenAPI use."""

ZEROS = "0{0,9}"
FRACTION = 10
"""Digits after the point."""


def whole_pattern(low: int, high: int) -> str:
    """Matches the whole numbers from `low` (0 or 1) to `high` in digits, leading zeros allowed."""
    return f"^{ZEROS}({_up_to(low, high)})$"


def decimal_pattern(high: int) -> str:
    """Matches the numbers from 0 to `high` in digits, with or without a fraction."""
    return rf"^{ZEROS}(({_up_to(0, high - 1)})(\.[0-9]{{1,{FRACTION}}})?|{high}(\.0{{1,{FRACTION}}})?)$"


def _up_to(low: int, high: int) -> str:
    digits = str(high)
    parts = ["0"] if low == 0 else []
    if len(digits) > 1:
        parts.append(f"[1-9][0-9]{{0,{len(digits) - 2}}}")
    for at, digit in enumerate(digits):
        first = 1 if at == 0 else 0
        if int(digit) > first:
            parts.append(f"{digits[:at]}[{first}-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}")
    return "|".join([*parts, digits])
