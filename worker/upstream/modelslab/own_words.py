"""The upstream's own words in a refusal: without those of the caller that it repeats, however it repeats them.

What is left decides about the account. What one request has sent must not: a LoRA may be called "rate limit".
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from unicodedata import normalize

from worker.upstream.spellings import decoded

WORD = re.compile(r"[^\W_]+")
AFTER_FIRST_WORDS = re.compile(r"[:\"'`“‘«\n]")
"""The text after a colon or a quotation mark is often the caller's own."""
LABEL = re.compile(r"\s*(?:(?:error|failed|failure|message)\s*[:-]\s*)+", re.IGNORECASE)
SHORTEST_PART_WORDS = 3
"""So many words of a longer text in a row are a part of it, cut short by the upstream."""
Echo = tuple[str, ...]


def own_words(message: str, echoes: Collection[str]) -> str:
    """The first words of the upstream's own, in small letters, with one space between them."""
    text = _plain(LABEL.sub("", decoded(message), count=1) if LABEL.match(message) else decoded(message))
    found = list(WORD.finditer(text))
    words, known = [each[0] for each in found], _by_first_word(echoes)
    kept, at = text, 0
    while at < len(words):
        size = max((_repeated(words[at:], echo) for echo in known.get(words[at], ())), default=0)
        if size:
            begin, end = found[at].start(), found[at + size - 1].end()
            kept = kept[:begin] + " " * (end - begin) + kept[end:]
        at += size or 1
    return " ".join(WORD.findall(AFTER_FIRST_WORDS.split(kept, maxsplit=1)[0]))


def _repeated(words: list[str], echo: Echo) -> int:
    """How many words repeat the echo from its begin: all of it, or a part that was cut off. 0: it is no echo."""
    same = next((at for at, pair in enumerate(zip(words, echo, strict=False)) if pair[0] != pair[1]), None)
    size = min(len(words), len(echo)) if same is None else same
    if size == len(echo):
        return size
    is_cut_in_a_word = size == len(words) - 1 and echo[size].startswith(words[size])
    size += is_cut_in_a_word
    return size if size >= SHORTEST_PART_WORDS else 0


def _by_first_word(echoes: Collection[str]) -> dict[str, list[Echo]]:
    known = defaultdict(list)
    for echo in {tuple(WORD.findall(_plain(text))) for given in echoes for text in _texts(given)}:
        if echo:
            known[echo[0]].append(echo)
    return known


def _texts(given: str) -> Iterator[str]:
    """A text, and, if it is a list of names, each of them."""
    yield given
    if not re.search(r"[^,\s]\s+[^,\s]", given):
        yield from given.split(",")


def _plain(text: str) -> str:
    return normalize("NFKC", text).lower()
