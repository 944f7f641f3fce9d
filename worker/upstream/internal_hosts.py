"""Finds hosts of our network in a text that somebody else has written: by their form, or as named by a setting."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

MASK = "***"
PORT = r"(?::\d{1,5})?"
NUMBERS = re.compile(
    rf"(?<![\w.:])(\[?(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|[0-9a-f]{{0,4}}(?::[0-9a-f.]{{0,15}}){{2,8}})(?:%25|%)?\w*\]?){PORT}",
    re.IGNORECASE,
)
ENDINGS = "internal|local|localdomain|lan|intranet|corp|home|private|svc"
NAMES = re.compile(rf"(?<![\w.-])(?:localhost|(?:[\w-]+\.)+(?:{ENDINGS}))\.?{PORT}(?![\w-])(?!\.\w)", re.IGNORECASE)
SINGLE_NAME = re.compile(r"(?<=://)(?:[^\s/@]*@)?[\w-]+(?::\d{1,5})?(?![\w.:-])")
"""A host without a dot, as in a container network."""


class InternalHosts:
    """Private numeric addresses, names that only an internal DNS knows, and the hosts of some settings."""

    def __init__(self, named: Iterable[str]) -> None:
        hosts = "|".join(re.escape(host) for host in sorted(set(named), key=len, reverse=True) if host)
        self._named = re.compile(rf"(?<![\w.-])(?:{hosts}){PORT}(?![\w-])(?!\.\w)", re.IGNORECASE) if hosts else None

    def mask(self, text: str) -> str:
        """The text with MASK in the place of every such host and its port."""
        text = NUMBERS.sub(_unless_public, text)
        text = SINGLE_NAME.sub(MASK, NAMES.sub(MASK, text))
        return self._named.sub(MASK, text) if self._named else text


def _unless_public(found: re.Match[str]) -> str:
    number = found[1].strip("[]").partition("%")[0]
    is_word = not number.strip(":")  # two colons, as in the name of a class
    return found[0] if is_word or is_public(number) else MASK


def is_public(number: str) -> bool:
    """Whether a numeric address is not of a private network; what is no address, such as a time, counts as public."""
    try:
        address = ip_address(number)
    except ValueError:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_global)
