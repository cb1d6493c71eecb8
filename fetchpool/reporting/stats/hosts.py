"""The slowest, the parked and the given-up hosts, in tables that stay small for any list.

A list may name ten million hosts, of which five are shown. Each table grows to twice its capacity
and is then cut to its better half, so an eviction costs about a microsecond. An evicted host that
comes back starts from zero; its row says that some may be missing (`partial`).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from math import floor, log
from typing import Final

from msgspec import Struct

from fetchpool.reporting.stats.buckets import SHORTEST_S, percentile

CAPACITY: Final = 2_000
"""Hosts that a table keeps at a cut; twice as many take about 3 MB."""

# Times per URL are counted in buckets whose neighbours differ by 10.5 %, so the middle of a bucket
# is within 5.1 % of every time in it: 0.16 µs a time.
_STEPS: Final = 10
_FIRST_BUCKET: Final = floor(log(SHORTEST_S) * _STEPS)

_REASONS: Final = 3
# Where the median is 1, nine of ten times are often below 4: a host worth naming has more.
_SLOW: Final = 5.0


class SlowHost(Struct, frozen=True):
    """A host in the table of the slowest."""

    host: str
    urls: int
    ok: int
    p90_s: float
    """Within 6 %."""
    failed: tuple[tuple[str, int], ...] = ()
    """Its most frequent failures as (label, count), at most three."""
    partial: bool = False
    """Some of its first URLs may be missing from the counts."""


class ParkedHost(Struct, frozen=True):
    """A host that was parked."""

    host: str
    seconds: float
    """In all."""
    why: str
    """The last reason."""


class GivenUpHost(Struct, frozen=True):
    """A host that was given up: its URLs failed without a request."""

    host: str
    urls: int
    """How many of them."""
    why: str
    """The first reason."""


class _HostTimes:
    """Counters of one host."""

    __slots__ = ("buckets", "failed", "partial", "seconds", "urls")

    def __init__(self, partial: bool) -> None:
        self.urls = 0
        self.seconds = 0.0
        self.buckets: dict[int, int] = {}
        self.failed: dict[str, int] | None = None
        self.partial = partial

    @property
    def ok(self) -> int:
        """How many did not fail."""
        return self.urls - sum((self.failed or {}).values())

    @property
    def timed(self) -> int:
        """How many were tried at all."""
        return sum(self.buckets.values())

    def p90(self) -> float:
        """Return the 90th percentile of its times, in seconds."""
        return percentile(self.buckets, 0.9, _STEPS)

    def lost(self, typical_s: float) -> float:
        """Return the seconds that this host took more than as many typical URLs."""
        return self.seconds - self.timed * typical_s


class HostTable:
    """Times and failures by host.

    *typical* returns the run's median time per URL. Hosts are ranked by the time they cost beyond
    that. (By p90 alone, a host with one time-out would rank above one that was slow a thousand
    times; by time alone, the biggest host would rank first, however fast.)
    """

    def __init__(self, typical: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._typical = typical
        self._capacity = capacity
        self._hosts: dict[str, _HostTimes] = {}
        self._cut = False

    def __len__(self) -> int:
        return len(self._hosts)

    def add(self, host: str, elapsed_s: float | None, label: str | None) -> None:
        """Count one URL of *host*: its time (None = never tried), its failure's label or None."""
        entry = self._hosts.get(host)
        if entry is None:
            entry = self._enter(host)
        entry.urls += 1
        if elapsed_s is not None:
            entry.seconds += elapsed_s
            bucket = floor(log(elapsed_s) * _STEPS) if elapsed_s > SHORTEST_S else _FIRST_BUCKET
            entry.buckets[bucket] = entry.buckets.get(bucket, 0) + 1
        if label is not None:
            failed = entry.failed
            if failed is None:
                failed = entry.failed = {}
            failed[label] = failed.get(label, 0) + 1

    def slowest(self, count: int) -> tuple[SlowHost, ...]:
        """Return up to *count* hosts that cost most time, the highest p90 first.

        Only hosts whose p90 is over five times the run's median, and none if there is only one.
        """
        if len(self._hosts) < 2:
            return ()
        typical_s = self._typical()
        slow = (
            (entry.lost(typical_s), host)
            for host, entry in self._hosts.items()
            if entry.timed and entry.p90() > _SLOW * typical_s
        )
        rows = [_row(host, self._hosts[host]) for _, host in nlargest(count, slow)]
        return tuple(sorted(rows, key=lambda row: -row.p90_s))

    def _enter(self, host: str) -> _HostTimes:
        if len(self._hosts) >= 2 * self._capacity:
            typical_s = self._typical()
            items = self._hosts.items()
            best = nlargest(self._capacity, items, key=lambda item: item[1].lost(typical_s))
            self._hosts = dict(best)
            self._cut = True
        entry = self._hosts[host] = _HostTimes(self._cut)
        return entry


def _row(host: str, entry: _HostTimes) -> SlowHost:
    failed = sorted((entry.failed or {}).items(), key=lambda item: (-item[1], item[0]))
    return SlowHost(
        host, entry.urls, entry.ok, entry.p90(), tuple(failed[:_REASONS]), entry.partial
    )


class ParkedTable:
    """How long each host was parked."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._hosts: dict[str, ParkedHost] = {}
        self._evicted = 0

    def __len__(self) -> int:
        """Return the number of hosts ever parked; an evicted one counts again."""
        return len(self._hosts) + self._evicted

    def add(self, host: str, seconds: float, why: str) -> None:
        """Count *seconds* during which nothing was sent to *host*, because of *why*."""
        before = self._hosts.get(host)
        if before is None and len(self._hosts) >= 2 * self._capacity:
            best = self.longest(self._capacity)
            self._evicted += len(self._hosts) - len(best)
            self._hosts = {row.host: row for row in best}
        total = seconds + (before.seconds if before else 0.0)
        self._hosts[host] = ParkedHost(host, total, why)

    def longest(self, count: int) -> tuple[ParkedHost, ...]:
        """Return up to *count* hosts, the one parked longest first."""
        return tuple(nlargest(count, self._hosts.values(), key=lambda row: row.seconds))


class GivenUpTable:
    """Hosts that were given up, and how many URLs each cost."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._hosts: dict[str, list[int]] = {}
        self._why: dict[str, str] = {}
        self._evicted = 0

    def __len__(self) -> int:
        """Return the number of hosts ever given up; an evicted one counts again."""
        return len(self._hosts) + self._evicted

    def add(self, host: str, why: str) -> None:
        """Count a URL that got no request, as *host* had been given up because of *why*."""
        count = self._hosts.get(host)
        if count is not None:
            count[0] += 1
            return
        if len(self._hosts) >= 2 * self._capacity:
            best = nlargest(self._capacity, self._hosts.items(), key=lambda item: item[1])
            self._evicted += len(self._hosts) - len(best)
            self._hosts = dict(best)
            self._why = {host: self._why[host] for host in self._hosts}
        self._hosts[host] = [1]
        self._why[host] = why

    def most(self, count: int) -> tuple[GivenUpHost, ...]:
        """Return up to *count* hosts, the one that cost most URLs first."""
        rows = nlargest(count, self._hosts.items(), key=lambda item: item[1])
        return tuple(GivenUpHost(host, urls, self._why[host]) for host, (urls,) in rows)
