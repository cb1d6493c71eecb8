"""Which shard of a list a line belongs to, where several machines work on one list.

    line ──host_in_line──▶ host key ──shard_of──▶ 0 … N-1
      └── no URL, or a host without limits: the line itself ──▲

All shards read the whole list and take their own lines, so that all must agree: what decides here
is `SPLIT`, and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from zlib import crc32

from fetchpool.model.shards import Shard
from fetchpool.model.sites import site_of
from fetchpool.model.urls import MAX_LABEL, InvalidURLError, parse_url
from fetchpool.model.values import Request, Target

SPLIT = 1
"""The version of these rules: written down with every run of shards."""

_ODD = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: Knuth's multiplicative hash

# A line of which the host is certain without parsing it: what may stand before the path is what
# `parse_url` leaves as it is, and the rest has no sign of a second URL or of text behind it
# (`mistakes.mistake_in`): no blank, no `,` `;` `|` and no backslash.
_HOST = r"((?:[a-z0-9_-]++\.)*+[a-z][a-z0-9_-]*+)"
_REST = r"(?:/[!-+\--:<-\[\]-{}~]*+)?+"
_URL = re.compile(rf"https?://{_HOST}{_REST}")
_LINES = re.compile(rf"^(?:https?://{_HOST}{_REST}[ \r]*+|[^\n]*+)$".encode(), re.MULTILINE)
_PUNYCODE = "xn--"
"""Labels that begin so are for the parser to judge."""


def shard_of(key: str | bytes, count: int) -> int:
    """Return which of *count* shards *key* belongs to, a host key or a line: from 0.

    A CRC-32, multiplied: 0.1 µs, a fifth of what BLAKE2 takes. The bare CRC is what divides hosts
    among `--workers`; by the same function twice, one worker would get all hosts of a shard.
    """
    data = key if isinstance(key, bytes) else key.encode()
    return (crc32(data) * _ODD >> 40) % count


def host_in_line(text: str) -> str | None:
    """Return the host key of the URL that *text*, stripped, is; None if it is no http(s) URL."""
    found = _URL.fullmatch(text)
    if found is not None and len(found[1]) <= MAX_LABEL and _PUNYCODE not in found[1]:
        return found[1]
    try:
        return parse_url(text).host_key
    except InvalidURLError:
        return None


class Split:
    """Which lines and hosts are those of some shards."""

    def __init__(
        self,
        shards: Iterable[Shard],
        *,
        has_limit: Callable[[str], bool] | None = None,
        by_site: bool = False,
    ) -> None:
        """Take the lines of *shards*, which are of one count.

        The lines of one host are one shard's, so that limits hold. *has_limit* tells of a host key
        whether that needs be: lines of other hosts are divided one by one; None: all hosts have
        limits, which is fastest. With *by_site*, hosts below one registrable domain stay together.
        """
        own = sorted(set(shards))
        self.count = own[0].count
        self.own = frozenset(each.index for each in own)
        self._has_limit = has_limit
        self._by_site = by_site

    @property
    def divides_by_host(self) -> bool:
        """Whether all lines of any host are one shard's."""
        return self._has_limit is None

    def shard_of(self, request: Request) -> int:
        """Return the shard that *request* belongs to."""
        text = request.url
        if request.problem is not None:
            return shard_of(text, self.count)
        if self._has_limit is None:
            host = host_in_line(text)
            return shard_of(text if host is None else self._together(host), self.count)
        try:
            return self.shard_of_target(parse_url(text))
        except InvalidURLError:
            return shard_of(text, self.count)

    def shard_of_target(self, target: Target) -> int:
        """Return the shard of a request whose own URL is *target*."""
        owner = self.shard_of_host(target.host_key)
        return shard_of(target.url, self.count) if owner is None else owner

    def shard_of_host(self, host_key: str) -> int | None:
        """Return the shard whose requests alone go to *host_key*; None: any shard may ask it."""
        if self._has_limit is not None and not self._has_limit(host_key):
            return None
        return shard_of(self._together(host_key), self.count)

    def is_foreign(self, host_key: str) -> bool:
        """Tell whether *host_key* is another shard's to ask."""
        owner = self.shard_of_host(host_key)
        return owner is not None and owner not in self.own

    def own_requests(self, requests: list[Request]) -> list[Request]:
        """Return those of *requests* that belong to these shards."""
        own, shard = self.own, self.shard_of
        return [request for request in requests if shard(request) in own]

    def maybe_own(self, data: bytes) -> list[int] | None:
        """Return which lines of *data*, from 0, may be own ones; None: any of them.

        0.4 µs a line. *data* is printable ASCII but for line ends.
        """
        if self._has_limit is not None or self._by_site:
            return None
        hosts, own, count = _LINES.findall(data), self.own, self.count
        if _PUNYCODE.encode() in data:
            hosts = [b"" if _PUNYCODE.encode() in host else host for host in hosts]
        return [
            number
            for number, host in enumerate(hosts)
            if not host or len(host) > MAX_LABEL or (crc32(host) * _ODD >> 40) % count in own
        ]

    def _together(self, host_key: str) -> str:
        return site_of(host_key) if self._by_site else host_key
