"""Only what is globally routable unicast, through every embedding, is public."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.addresses import IPV4_NOT_PUBLIC, IPV6_NOT_PUBLIC, is_public, why_not_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "192.31.196.1",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2620:4f:8000::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2606:4700::5efe:8.8.8.8",
]

NOT_PUBLIC = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "this network",
    "10.1.2.3": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.100.100.200": "carrier-grade NAT",
    "169.254.169.254": "link-local",
    "168.63.129.16": "cloud platform",
    "192.0.0.192": "IETF",
    "224.0.0.251": "multicast",
    "239.255.255.250": "multicast",
    "255.255.255.255": "broadcast",
    "240.0.0.1": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::1%lo": "loopback",
    "0:0:0:0:0:0:0:1": "loopback",
    "::127.0.0.1": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "::ffff:7f00:1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "::FFFF:10.0.0.1": "private",
    "::ffff:0:127.0.0.1": "outside the global",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::169.254.169.254": "link-local",
    "64:ff9b:1::8.8.8.8": "local-use NAT64",
    "2002:7f00:1::1": "loopback",
    "2002:a00:1::808:808": "private",
    "2001:0:7f00:1::f7f7:f7f7": "loopback",
    "2001:0:808:808::80ff:fffe": "loopback",
    "2001:0:808:808::f7f7:f7f7": "Teredo",
    "2606:4700::5efe:127.0.0.1": "loopback",
    "2606:4700::200:5efe:10.0.0.1": "private",
    "2002:808:808::5efe:10.0.0.1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "fd00:ec2::254": "private",
    "fc00::1": "private",
    "ff02::1": "multicast",
    "100::1": "discard",
    "100:0:0:1::1": "dummy",
    "2001:db8::1": "documentation",
    "3fff:fff::1": "documentation",
    "2001:20::1": "IETF",
    "5f00::1": "segment routing",
    "4000::1": "outside the global",
    "1fff:ffff::1": "outside the global",
}

NO_ADDRESSES = [
    "",
    "localhost",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "127.0.0.01",
    "8.8.8.8 ",
    " 8.8.8.8",
    "8.8.8.8\n",
    "8.8.8.8\0",
    "8.8.8.8/32",
    "[2606:4700::1111]",
    "[::]",
    "\uff18.8.8.8",
    "8\u30028.8.8",
    "\u0661.1.1.1",
    "::ffff:0177.0.0.1",
    "1" * 10_000,
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    assert why_not_public(address) is None
    assert is_public(address)


@pytest.mark.parametrize(("address", "reason"), NOT_PUBLIC.items())
def test_other_addresses_may_not_and_the_reason_says_why(address: str, reason: str) -> None:
    assert (why_not_public(address) or "").startswith(reason)
    assert not is_public(address)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_plain_address_is_not_public(text: str) -> None:
    assert why_not_public(text) == "not an IP address"


def test_an_embedded_address_is_named() -> None:
    assert why_not_public("64:ff9b::7f00:1") == ("loopback address (RFC 1122), as NAT64 127.0.0.1")


@pytest.mark.parametrize("network", [network for network, _ in IPV4_NOT_PUBLIC + IPV6_NOT_PUBLIC])
def test_networks_hold_from_first_to_last_address(network: str) -> None:
    block = ip_network(network)
    assert not is_public(str(block[0]))
    assert not is_public(str(block[-1]))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("0.255.255.255", False),
        ("1.0.0.0", True),
        ("9.255.255.255", True),
        ("11.0.0.0", True),
        ("100.63.255.255", True),
        ("100.128.0.0", True),
        ("126.255.255.255", True),
        ("128.0.0.0", True),
        ("168.63.129.15", True),
        ("168.63.129.17", True),
        ("169.253.255.255", True),
        ("169.255.0.0", True),
        ("172.15.255.255", True),
        ("172.32.0.0", True),
        ("191.255.255.255", True),
        ("192.0.1.0", True),
        ("192.0.1.255", True),
        ("192.0.3.0", True),
        ("192.88.98.255", True),
        ("192.88.100.0", True),
        ("192.167.255.255", True),
        ("192.169.0.0", True),
        ("198.17.255.255", True),
        ("198.20.0.0", True),
        ("198.51.99.255", True),
        ("198.51.101.0", True),
        ("203.0.112.255", True),
        ("203.0.114.0", True),
        ("223.255.255.255", True),
        ("224.0.0.0", False),
        ("2000::", True),
        ("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("2001::", False),
        ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("2001:200::", True),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("2001:db9::", True),
        ("2003::", True),
        ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("3fff::", False),
        ("3fff:1000::", True),
        ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True),
        ("4000::", False),
        ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("64:ff9a:ffff:ffff:ffff:ffff:808:808", False),
        ("64:ff9b::1:808:808", False),
        ("64:ff9b:2::808:808", False),
        ("::fffe:808:808", False),
    ],
)
def test_networks_end_where_their_registry_says(address: str, public: bool) -> None:
    assert is_public(address) is public


EMBEDDINGS: dict[str, Callable[[int], int]] = {
    "compatible": lambda v4: v4,
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x64_FF9B << 96 | v4,
    "local NAT64": lambda v4: 0x64_FF9B_0001 << 80 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo server": lambda v4: 0x2001_0000 << 96 | v4 << 64 | 0xF7F7_F7F7,
    "Teredo client": lambda v4: 0x2001_0000 << 96 | 0x0808_0808 << 64 | (v4 ^ 0xFFFF_FFFF),
    "ISATAP": lambda v4: 0x2606_4700 << 96 | 0x0000_5EFE << 32 | v4,
    "ISATAP, universal": lambda v4: 0x2606_4700 << 96 | 0x0200_5EFE << 32 | v4,
    "ISATAP, group": lambda v4: 0x2606_4700 << 96 | 0x0300_5EFE << 32 | v4,
}


def _inside(network: str) -> st.SearchStrategy[int]:
    block = ip_network(network)
    return st.integers(int(block[0]), int(block[-1]))


not_public_ipv4 = st.sampled_from([network for network, _ in IPV4_NOT_PUBLIC]).flatmap(_inside)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@given(not_public_ipv4)
def test_what_is_not_public_is_not_public_embedded(embedding: str, number: int) -> None:
    assert not is_public(str(IPv4Address(number)))
    assert not is_public(str(IPv6Address(EMBEDDINGS[embedding](number))))


@given(st.ip_addresses(v=4).map(int))
def test_transparent_embeddings_are_as_public_as_what_they_hold(number: int) -> None:
    public = is_public(str(IPv4Address(number)))
    for embedding in ("mapped", "NAT64", "6to4"):
        assert is_public(str(IPv6Address(EMBEDDINGS[embedding](number)))) is public


@given(st.ip_addresses())
def test_nothing_python_holds_private_is_public(ip: IPv4Address | IPv6Address) -> None:
    transparent = isinstance(ip, IPv6Address) and int(ip) >> 32 in (0xFFFF, 0x64_FF9B << 64)
    if not transparent and (not ip.is_global or ip.is_multicast):
        assert not is_public(str(ip))


@given(st.integers(0, (1 << 128) - 1).map(IPv6Address))
def test_ipv6_is_public_only_inside_2000(ip: IPv6Address) -> None:
    transparent = int(ip) >> 32 in (0xFFFF, 0x64_FF9B << 64)
    if is_public(str(ip)) and not transparent:
        assert int(ip) >> 125 == 1


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert isinstance(is_public(text), bool)
