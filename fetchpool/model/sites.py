"""Which hosts belong together: those below one registrable domain (the public suffix list)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

REMEMBERED = 65_536
"""Hosts whose site is kept; a look-up takes 5 µs."""


def is_address(host: str) -> bool:
    """Return True if *host* (of a `Target`) is an IP address, not a name."""
    return ":" in host or host.rpartition(".")[2].isdigit()


@lru_cache(maxsize=REMEMBERED)
def site_of(host: str) -> str:
    """Return the registrable domain of *host*, `example.co.uk` for `a.b.example.co.uk`.

    An address, a public suffix and a name without a dot are sites of their own. *host* may be a
    host key, too: its port counts for nothing.
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, _ = host.rpartition(":")
    if colon and ":" not in name:
        host = name
    host = host.removesuffix(".")
    return host if is_address(host) else _suffixes().privatesuffix(host) or host


@lru_cache(maxsize=REMEMBERED)
def is_public_suffix(name: str) -> bool:
    """Return True if anybody may register names below *name*: `co.uk`, `github.io`."""
    return _suffixes().privatesuffix(name) is None


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # with its list 100 ms, for cookies only

    return PublicSuffixList()
