"""What came of the URLs of each host, in a table that stays small for any list."""

from __future__ import annotations

from heapq import nlargest
from typing import Final

from fetchpool.reporting.report.timeline import STEPS
from fetchpool.reporting.report.values import HostRow
from fetchpool.reporting.stats.buckets import percentile
from fetchpool.reporting.stats.hosts import CAPACITY

_REASONS: Final = 3
_LABELS: Final = 20
"""Labels that are told apart at one host; the rest count as `other`."""
_FAILURE_WEIGHT: Final = 10
"""A host with few failures is worth as much as one with ten times as many URLs."""


class HostCounts:
    """Counters of one host."""

    __slots__ = ("failed", "failures", "partial", "times", "urls", "wire_bytes")

    def __init__(self, partial: bool) -> None:
        self.urls = 0
        self.failures = 0
        self.failed: dict[str, int] | None = None
        self.wire_bytes = 0
        self.times: dict[int, int] = {}
        """How long its URLs took, by bucket of `STEPS`."""
        self.partial = partial

    def count_failure(self, label: str) -> None:
        """Count a URL that failed, in addition to `urls`."""
        self.failures += 1
        failed = self.failed
        if failed is None:
            failed = self.failed = {}
        if label not in failed and len(failed) >= _LABELS:
            label = "other"
        failed[label] = failed.get(label, 0) + 1

    def weight(self) -> int:
        """Return how much it is worth showing."""
        return self.urls + _FAILURE_WEIGHT * self.failures


class HostCounter:
    """Counters of the hosts worth showing: those with most URLs, failed ones counting tenfold."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.counts: dict[str, HostCounts] = {}
        self._evicted = 0
        self.partial = False
        """There were too many hosts to count each."""

    def enter(self, host: str) -> HostCounts:
        """Return new counters for *host*, which has none."""
        if len(self.counts) >= 2 * self._capacity:
            items = self.counts.items()
            best = nlargest(self._capacity, items, key=lambda item: item[1].weight())
            self._evicted += len(self.counts) - len(best)
            self.counts = dict(best)
            self.partial = True
        counts = self.counts[host] = HostCounts(self.partial)
        return counts

    def rows(self, most: int) -> tuple[list[HostRow], int]:
        """Return up to *most* hosts, those with most failures first, and how many there are beside.

        Of a host that was left out and came back, both count there.
        """
        best = nlargest(most, self.counts.items(), key=lambda item: item[1].weight())
        best.sort(key=lambda item: (-item[1].failures, -item[1].urls, item[0]))
        return [_row(*item) for item in best], len(self.counts) - len(best) + self._evicted


def _row(host: str, counts: HostCounts) -> HostRow:
    failed = sorted((counts.failed or {}).items(), key=lambda item: (-item[1], item[0]))
    return HostRow(
        host,
        counts.urls,
        counts.failures,
        tuple(failed[:_REASONS]),
        counts.wire_bytes,
        percentile(counts.times, 0.5, STEPS),
        percentile(counts.times, 0.9, STEPS),
        counts.partial,
    )
