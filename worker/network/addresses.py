"""The guard against server-side request forgery (SSRF): which addresses may be reached.

Nothing private is allowed, and nothing that only looks public. The decisive check is made on the numeric address that
is about to be dialled (worker/network/transport.py), so a name that resolves differently the second time (DNS
rebinding) gains nothing. The standard library's `is_global` is not used: its result depends on the patch version of
Python, and it lets metadata services through.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpx

DENIED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's metadata service on a public address
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
ALLOWED_V6 = IPv6Network("2000::/3")
DENIED_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))

PUBLIC_PORTS = frozenset({80, 443})
MOST_URL_CHARACTERS = 2048
MOST_LABEL_CHARACTERS = 63
BAD_CHARACTERS = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
# no `%` or `;`: for one parser they end the host, for another they are part of it
HOST_NAME = re.compile(r"[\w.-]+")


class AddressRefused(OSError):
    """An address that may not be reached. An OSError, so that a client treats it as a failed connection."""


def is_public(address: str) -> bool:
    """Whether a numeric address is on the public internet; a text that is no address is not.

    An IPv4 address written as IPv6 (`::ffff:…`) is dialled as IPv4 and judged as such. Every other form that hides one
    (compatible, NAT64, 6to4, Teredo) is outside of what is allowed.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    as_v4 = parsed if isinstance(parsed, IPv4Address) else parsed.ipv4_mapped
    if as_v4:
        return not any(as_v4 in network for network in DENIED_V4)
    return parsed in ALLOWED_V6 and not any(parsed in network for network in DENIED_V6)


def host_allowed(host: str, patterns: tuple[str, ...]) -> bool:
    """Whether the host is one of the patterns; `*.example.com` allows every subdomain of it, `*` every host."""
    name = host.lower().rstrip(".")
    return any(_matches(name, pattern) for pattern in patterns)


def check_url(url: str, *, allow_private: bool, https_only: bool = False) -> None:
    """Raises AddressRefused for a URL that no sender may use, before its name is resolved.

    With `allow_private` (development only) every port is allowed as well.
    """
    if len(url) > MOST_URL_CHARACTERS or BAD_CHARACTERS.search(url):
        raise AddressRefused("the address has characters that no address has, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("the address cannot be read") from None
    if parts.scheme not in ("http", "https") or not _is_host(parts.hostname or "") or "@" in parts.netloc:
        raise AddressRefused("the address must be http(s) with a host and without a user name")
    if https_only and parts.scheme != "https":
        raise AddressRefused("the address must be https")
    if not allow_private and port is not None and port not in PUBLIC_PORTS:
        raise AddressRefused("the address must use port 80 or 443")
    _check_host(url, port)
    if not allow_private and _is_literal(parts.hostname or "") and not is_public(parts.hostname or ""):
        raise AddressRefused("the address is not on the public internet")


def check_dialled(address: str, *, allow_private: bool) -> None:
    """Raises AddressRefused if a numeric address may not be dialled."""
    if not allow_private and not is_public(address):
        raise AddressRefused("the address is not on the public internet")


def _check_host(url: str, port: int | None) -> None:
    """Raises AddressRefused for a host that the client or the resolver would reject later, or for another port."""
    try:
        dialled = httpx.URL(url)
        labels = dialled.raw_host.decode("ascii").removesuffix(".").split(".")
        _ = dialled.host  # decodes `xn--`, which the request's own headers need
    except (httpx.InvalidURL, ValueError):  # idna raises a UnicodeError, which is a ValueError
        raise AddressRefused("the address's host cannot be read") from None
    if dialled.port not in (None, port):  # `[2606::1]22`: no port for one parser, 22 for the other
        raise AddressRefused("the address's port can be read in two ways")
    if not all(1 <= len(label) <= MOST_LABEL_CHARACTERS for label in labels):
        raise AddressRefused("the address's host has a part that is empty or too long")


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    if ":" not in host:
        return HOST_NAME.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _matches(name: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return pattern in ("*", name)
