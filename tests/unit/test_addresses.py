"""Which addresses may be reached: the lists that must be blocked and allowed, and the URLs that no sender may use."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.network.addresses import AddressRefused, check_dialled, check_url, host_allowed, is_public

MUST_BLOCK = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",  # a cloud's metadata
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # a cloud's metadata on a public address
    "169.254.0.1",
    "169.254.169.254",  # everybody's metadata
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",  # a cloud's metadata
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # a cloud's metadata
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    " 8.8.8.8",
    "8.8.8.8:80",
)
MUST_ALLOW = (
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:8.8.8.8",
)
REFUSED_URLS = (
    "http://[2606:4700::1111]22/",  # found by the fuzzer: port 80 for one parser, 22 for the one that dials
    "",
    "/generations/0.png",
    "//cdn.example/0.png",
    "ftp://cdn.example/0.png",
    "file:///etc/passwd",
    "gopher://cdn.example/",
    "data:image/png;base64,AAAA",
    "https://",
    "https:///0.png",
    "https://user@cdn.example/0.png",
    "https://user:word@cdn.example/0.png",
    "https://cdn.example\\@evil.example/0.png",
    "https://cdn.example/0.png\r\nhost: evil.example",
    "https://cdn.example/a b.png",
    "https://cdn.example/\x00.png",
    "https://cdn.example/\x85.png",
    "https://evil.example%2f.cdn.example/0.png",
    "https://evil.example%2e.cdn.example/0.png",
    "https://evil.example;.cdn.example/0.png",
    "https://[::1/0.png",
    "https://[fe80::1%25eth0]/0.png",
    "https://cdn.example:99999/0.png",
    "https://cdn.example:https/0.png",
    "https://cdn.example/" + "a" * 3000,
)
ODD_PORTS = ("https://cdn.example:22/", "https://cdn.example:8443/0.png", "http://cdn.example:6379/", "https://a.b:0/")
GOOD_URLS = (
    "https://cdn.example/generations/05c3260d-0.png",
    "https://cdn.example:443/0.png?X-Signature=a%2Fb#part",
    "http://cdn.example/0.png",
    "http://cdn.example:80/0.png",
    "https://93.184.216.34/0.png",
    "https://[2606:4700::1111]/0.png",
    "https://bücher.example/0.png",
    "https://under_score.example./0.png",
)


@pytest.mark.parametrize("address", MUST_BLOCK)
def test_an_address_that_is_not_on_the_public_internet_is_blocked(address: str) -> None:
    """Private, reserved, metadata, hidden in IPv6, and everything that is no address in its one plain form."""
    assert not is_public(address)


@pytest.mark.parametrize("address", MUST_ALLOW)
def test_a_public_address_is_allowed(address: str) -> None:
    """Among them the neighbours of every blocked network."""
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_writing_an_ipv4_address_as_ipv6_changes_nothing(address: IPv4Address) -> None:
    """The mapped form is dialled as IPv4, so it is judged as IPv4."""
    assert is_public(f"::ffff:{address}") == is_public(str(address))


@given(st.ip_addresses(v=4))
def test_no_other_way_to_hide_an_ipv4_address_in_ipv6_is_public(address: IPv4Address) -> None:
    """Compatible, NAT64 and 6to4 forms lead to an address that nobody looked at."""
    number = int(address)
    hidden = (
        ip_address(number or 2**64),
        ip_address((0x64FF9B << 96) | number),
        ip_address((0x2002 << 112) | number << 80),
    )
    assert not any(is_public(str(each)) for each in hidden if each.version == 6)


@given(st.text(max_size=60))
def test_no_text_makes_the_check_raise(text: str) -> None:
    """Whatever stands where an address is expected, the answer is yes or no."""
    assert is_public(text) in (True, False)


def test_a_dialled_address_is_refused_unless_private_ones_are_allowed() -> None:
    """The setting for development is the only way around the list."""
    check_dialled("127.0.0.1", allow_private=True)
    check_dialled("8.8.8.8", allow_private=False)
    with pytest.raises(AddressRefused):
        check_dialled("127.0.0.1", allow_private=False)


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_a_url_that_two_parsers_could_read_differently_is_refused(url: str) -> None:
    """Also with private addresses allowed: development needs none of these."""
    with pytest.raises(AddressRefused):
        check_url(url, allow_private=True)


@pytest.mark.parametrize("url", GOOD_URLS)
def test_an_ordinary_url_is_allowed(url: str) -> None:
    """Also numeric ones: the address itself is judged when it is dialled."""
    check_url(url, allow_private=False)


@pytest.mark.parametrize("url", ODD_PORTS)
def test_an_odd_port_is_for_development_only(url: str) -> None:
    """Nobody can make us knock on the ports of a public host."""
    check_url(url, allow_private=True)
    with pytest.raises(AddressRefused):
        check_url(url, allow_private=False)


@given(st.text(max_size=80))
def test_no_url_makes_the_check_raise_anything_else(text: str) -> None:
    """A callback's addresses are foreign text."""
    try:
        check_url(f"https://{text}", allow_private=False)
    except AddressRefused as refused:
        assert text not in str(refused) or len(text) < 12


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("modelslab.com", True),
        ("MODELSLAB.com", True),
        ("modelslab.com.", True),
        ("cdn2.stablediffusionapi.com", True),
        ("a.b.stablediffusionapi.com", True),
        ("stablediffusionapi.com", False),
        (".stablediffusionapi.com", False),
        ("evilstablediffusionapi.com", False),
        ("stablediffusionapi.com.evil.example", False),
        ("cdn.modelslab.com", False),
        ("", False),
    ],
)
def test_a_host_is_allowed_by_name_or_by_its_domain(host: str, allowed: bool) -> None:
    """`*.` stands for every subdomain and not for the domain itself; all else is exact."""
    assert host_allowed(host, ("modelslab.com", "*.stablediffusionapi.com")) is allowed


def test_a_star_allows_every_host() -> None:
    """For who wants the socket's check alone."""
    assert host_allowed("cdn.example", ("*",))
