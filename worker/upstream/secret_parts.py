"""Finds secrets, and parts of them, in a text that somebody else has written: however it is spelled."""

from base64 import b64encode
from collections.abc import Iterable, Iterator

MASK = "***"
RUN_CHARACTERS = 8
"""So many letters and digits of a secret in a row are a part that must not be shown."""
SHORTEST_SECRET_CHARACTERS = 4


class SecretParts:
    """Parts of some secrets. Only letters and digits are compared, without case, whatever else is put between them.

    Of a secret with fewer letters and digits than RUN_CHARACTERS all of them are one part.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._parts: dict[int, set[str]] = {}
        for secret in secrets:
            for form in _forms(secret):
                self._add(form)

    def mask(self, text: str) -> str:
        """The text with MASK in the place of every part, and of what is put between its letters."""
        where = [at for at, letter in enumerate(text) if letter.isalnum()]
        plain = "".join(_plain(text[at]) for at in where)
        shown, after = "", 0
        for first, last in _joined(self._found(plain)):
            begin, end = where[first], where[last] + 1
            shown, after = shown + text[after:begin] + MASK, end
        return shown + text[after:]

    def _add(self, form: str) -> None:
        letters = "".join(_plain(letter) for letter in form if letter.isalnum())
        size = min(RUN_CHARACTERS, len(letters))
        if size >= SHORTEST_SECRET_CHARACTERS:
            parts = (letters[at : at + size] for at in range(len(letters) - size + 1))
            self._parts.setdefault(size, set()).update(parts)

    def _found(self, plain: str) -> list[tuple[int, int]]:
        """First and last letter of each part, in order."""
        return sorted(
            (at, at + size - 1)
            for size, parts in self._parts.items()
            for at in range(len(plain) - size + 1)
            if plain[at : at + size] in parts
        )


def _joined(found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Parts that overlap, or follow one another, as one."""
    run: tuple[int, int] | None = None
    for first, last in found:
        if run and first > run[1] + 1:
            yield run
            run = None
        run = (run[0], max(run[1], last)) if run else (first, last)
    if run:
        yield run


def _plain(letter: str) -> str:
    return letter.lower()[:1]


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may be written: itself, in hexadecimal, in base64 wherever it starts in a group of three bytes."""
    data = secret.encode()
    yield secret
    yield data.hex()
    for shift in range(3):
        whole = b64encode(bytes(shift) + data).decode().rstrip("=")
        yield whole[(0, 2, 3)[shift] : len(whole) - 1]
