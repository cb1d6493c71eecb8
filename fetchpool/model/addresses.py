"""Which IP addresses may be connected to when only public ones are wanted.

An address is public if it is globally routable unicast and so is every IPv4 address embedded in
it. IPv4 is public unless a row of IANA's special-purpose registry says otherwise; IPv6 is public
only inside 2000::/3, less the rows of its registry, or where it stands for a public IPv4 address.

`ipaddress.is_global` is not enough: it calls `::127.0.0.1`, `64:ff9b::7f00:1` and multicast global.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

Row: TypeAlias = tuple[int, int, str]
"""First and last address of a network as integers, and why it is not public."""

# IANA IPv4 Special-Purpose Address Registry. Rows it marks as globally reachable are left out
# (AS112, AMT), but for the two anycast addresses inside 192.0.0.0/24, which serve no web pages.
# The first row that matches names the reason.
IPV4_NOT_PUBLIC = (
    ("0.0.0.0/8", "this network (RFC 791)"),
    ("10.0.0.0/8", "private network (RFC 1918)"),
    ("100.64.0.0/10", "carrier-grade NAT (RFC 6598)"),
    ("127.0.0.0/8", "loopback address (RFC 1122)"),
    # Answers on every Azure host as part of the host, though its number is a public one:
    # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    ("168.63.129.16/32", "cloud platform service (Azure)"),
    ("169.254.0.0/16", "link-local address (RFC 3927)"),
    ("172.16.0.0/12", "private network (RFC 1918)"),
    ("192.0.0.0/24", "IETF protocol assignment (RFC 6890)"),
    ("192.0.2.0/24", "documentation (RFC 5737)"),
    ("192.88.99.0/24", "deprecated 6to4 relay (RFC 7526)"),
    ("192.168.0.0/16", "private network (RFC 1918)"),
    ("198.18.0.0/15", "benchmarking (RFC 2544)"),
    ("198.51.100.0/24", "documentation (RFC 5737)"),
    ("203.0.113.0/24", "documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("255.255.255.255/32", "broadcast (RFC 919)"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
)

# IANA IPv6 Special-Purpose Address Registry. The few globally reachable assignments inside
# 2001::/23 (anycast services, ORCHIDv2, drone identifiers) serve no web pages: it is left whole.
IPV6_NOT_PUBLIC = (
    ("::/128", "unspecified address (RFC 4291)"),
    ("::1/128", "loopback address (RFC 4291)"),
    ("::/96", "IPv4-compatible address, deprecated (RFC 4291)"),
    ("64:ff9b:1::/48", "local-use NAT64 (RFC 8215)"),
    ("100::/64", "discard prefix (RFC 6666)"),
    ("100:0:0:1::/64", "dummy prefix (RFC 9780)"),
    ("2001::/32", "Teredo tunnel (RFC 4380)"),
    ("2001:2::/48", "benchmarking (RFC 5180)"),
    ("2001::/23", "IETF protocol assignment (RFC 2928)"),
    ("2001:db8::/32", "documentation (RFC 3849)"),
    ("3fff::/20", "documentation (RFC 9637)"),
    ("5f00::/16", "segment routing identifier (RFC 9602)"),
    ("fc00::/7", "private network (RFC 4193)"),
    ("fe80::/10", "link-local address (RFC 4291)"),
    ("fec0::/10", "site-local address, deprecated (RFC 3879)"),
    ("ff00::/8", "multicast (RFC 4291)"),
    # The complement of 2000::/3, the only global unicast range there is.
    ("::/3", "outside the global unicast range (RFC 4291)"),
    ("4000::/2", "outside the global unicast range (RFC 4291)"),
    ("8000::/1", "outside the global unicast range (RFC 4291)"),
)

_MAPPED = 0xFFFF  # ::ffff:0:0/96, the upper 96 bits
_NAT64 = 0x0064_FF9B << 64  # 64:ff9b::/96
_SIX_TO_FOUR = 0x2002  # 2002::/16, the upper 16 bits
_TEREDO = 0x2001_0000  # 2001::/32, the upper 32 bits
# An interface identifier made by ISATAP: 00-00-5E-FE and the IPv4 address, with the bits for
# "universal" and "group" either way (RFC 5214 §6.1).
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFCFF_FFFF


def is_public(address: str) -> bool:
    """Return whether *address*, as `why_not_public` takes it, is a public one."""
    return why_not_public(address) is None


# Asked once a connection; parsing and the rows cost 2 to 5 µs, a cached answer 0.05 µs.
@lru_cache(maxsize=4096)
def why_not_public(address: str) -> str | None:
    """Return None if the literal IP *address* is public, else a short reason for a person.

    *address* is what the socket layer is about to connect to: dotted decimal, or IPv6 with or
    without a zone (`fe80::1%eth0`). Any other spelling (`0x7f.1`, a name, brackets) is not public.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return "not an IP address"
    if isinstance(ip, IPv4Address):
        return _reason(int(ip), _IPV4_ROWS)
    for how, embedded in _embedded_ipv4(ip):
        reason = _reason(embedded, _IPV4_ROWS)
        if reason is not None:
            return f"{reason}, as {how} {IPv4Address(embedded)}"
    # These two are no addresses of their own: packets go to the IPv4 address inside.
    if int(ip) >> 32 in (_MAPPED, _NAT64):
        return None
    return _reason(int(ip), _IPV6_ROWS)


def _embedded_ipv4(ip: IPv6Address) -> Iterator[tuple[str, int]]:
    """Yield every IPv4 address that *ip* carries, as an integer, with the way it is carried."""
    number = int(ip)
    low = number & 0xFFFF_FFFF
    if number >> 32 == _MAPPED:
        yield "IPv4-mapped", low  # RFC 4291 §2.5.5.2
    if number >> 32 == _NAT64:
        yield "NAT64", low  # RFC 6052 §2.1
    if number >> 112 == _SIX_TO_FOUR:
        yield "6to4", (number >> 80) & 0xFFFF_FFFF  # RFC 3056 §2
    if number >> 96 == _TEREDO:
        yield "Teredo server", (number >> 64) & 0xFFFF_FFFF  # RFC 4380 §4
        yield "Teredo client", low ^ 0xFFFF_FFFF
    if (number >> 32) & _ISATAP_MASK == _ISATAP:
        yield "ISATAP", low  # in a /64 of any kind


def _reason(number: int, rows: tuple[Row, ...]) -> str | None:
    """Return the reason of the first of *rows* that *number* lies in."""
    for first, last, reason in rows:
        if first <= number <= last:
            return reason
    return None


def _compiled(table: tuple[tuple[str, str], ...]) -> tuple[Row, ...]:
    networks = ((ip_network(text), reason) for text, reason in table)
    return tuple(
        (int(network.network_address), int(network.broadcast_address), reason)
        for network, reason in networks
    )


_IPV4_ROWS = _compiled(IPV4_NOT_PUBLIC)
_IPV6_ROWS = _compiled(IPV6_NOT_PUBLIC)
