"""Addresses that callers and the upstream name, against parsers and judgements that are not ours.

The oracles: other URL parsers (yarl, which dials, and urllib3's), inet_aton for the old spellings of numbers, and the
standard library's ideas of what is global, which is stricter in some and laxer in other places; what we allow must be
global for it.
"""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx
from hypothesis import strategies as st
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url
from yarl import URL

from tests.fuzz.target import Target
from worker.network.addresses import AddressRefused, check_dialled, check_url, is_public

NAT64 = int(IPv6Address("64:ff9b::")) >> 32


def check_number(data: bytes) -> None:
    """What is allowed to be dialled is global by the standard library, and hides no IPv4 address that is not."""
    for text in _numbers(data):
        if is_public(text):
            parsed = ip_address(text)
            for each in _reached(parsed):
                assert each.is_global, text
                assert not (each.is_multicast or each.is_reserved or each.is_loopback or each.is_link_local), text


def check_address(data: bytes) -> None:
    """An address that passes has the same host and port for every parser, and a number in any spelling is judged."""
    url = data.decode(errors="replace")
    try:
        check_url(url, allow_private=False)
    except AddressRefused:
        return
    sent = httpx.URL(url)
    host = sent.raw_host.decode("ascii")
    dialled = URL(str(sent), encoded=True)
    assert dialled.raw_host is not None
    assert _plain(dialled.raw_host) == _plain(host), url
    assert dialled.port in (80, 443), url
    with suppress(HTTPError):
        other = parse_url(str(sent))
        assert _plain(other.host or "") == _plain(host), url
        assert other.port in (None, dialled.port), url
    assert dialled.user is None and dialled.password is None, url
    _check_spelt(host, url)


def _check_spelt(host: str, url: str) -> None:
    """`0x7f.1` is a number for the resolver: it is refused where it is dialled, if not before."""
    for number in (host.strip("[]"), *_old_spelling(host)):
        with suppress(ValueError):
            if ip_address(number).is_private:
                try:
                    check_dialled(number, allow_private=False)
                except AddressRefused:
                    continue
                raise AssertionError(f"{url} leads to {number}")


def _old_spelling(host: str) -> list[str]:
    try:
        return [socket.inet_ntoa(socket.inet_aton(host))]
    except (OSError, ValueError):
        return []


def _numbers(data: bytes) -> list[str]:
    texts = [data.decode(errors="replace")]
    if len(data) >= 4:
        texts.append(str(IPv4Address(data[:4])))
    if len(data) >= 16:
        texts.append(str(IPv6Address(data[:16])))
    return texts


def _reached(parsed: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and each IPv4 address that it leads to: 6to4, Teredo, NAT64; a mapped one is nothing else."""
    if isinstance(parsed, IPv4Address):
        return [parsed]
    if parsed.ipv4_mapped:
        return [parsed.ipv4_mapped]
    hidden = [parsed.sixtofour, *(parsed.teredo or ())]
    if int(parsed) >> 32 == NAT64:
        hidden.append(IPv4Address(int(parsed) & 0xFFFFFFFF))
    return [parsed, *filter(None, hidden)]


def _plain(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")


SPELT = "127.0.0.1 0x7f.1 2130706433 017700000001 [::1] [::ffff:127.0.0.1] 169.254.169.254 127。0。0。1 1.1.1.1"
NAMED = "example.com ⓔxample.com xn--a example.com. localhost [fe80::1%25eth0] a_b.example"
HOSTS = st.sampled_from([*SPELT.split(), *NAMED.split()])
BETWEEN = st.sampled_from(
    ["", "@", ":80", ":443@", "\\", "%2f", "#", "?", ";", "/..//", "\t", "\u3002", ":0080", "%00"]
)
URLS = st.builds(
    lambda scheme, *parts: (scheme + "".join(parts)).encode(errors="replace"),
    st.sampled_from(["http://", "https://", "HTTP:", "//", "https:\\\\", "ftp://"]),
    HOSTS,
    BETWEEN,
    HOSTS | st.just(""),
    BETWEEN,
    st.text(max_size=8),
)
SEED_URLS = (
    b"https://example.com/a?b=c#d",
    b"http://[2606:4700::1111]:443/",
    b"http://1.1.1.1:80/",
    b"https://b\xc3\xbccher.example/",
)
SEED_NUMBERS = ("8.8.8.8", "::ffff:10.0.0.1", "2606:4700::1111", "64:ff9b::a00:1", "2002:a9fe:a9fe::1", "fe80::1%eth0")

ADDRESS = Target(check_address, lambda: SEED_URLS, URLS)
NUMBER = Target(
    check_number,
    lambda: [each.encode() for each in SEED_NUMBERS],
    st.binary(min_size=16, max_size=16) | st.ip_addresses().map(lambda each: str(each).encode()),
)
