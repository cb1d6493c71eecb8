"""Percentiles of very many times, in memory that doesn't grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import floor, log
from typing import Final

from fetchpool.reporting.stats.buckets import SHORTEST_S, percentile
from fetchpool.reporting.stats.values import Times

# Longer ones say nothing, and each would take a bucket.
LONGEST_S: Final = 1e6

_STEPS: Final = 100
"""Neighbours differ by 1 %, so the middle of a bucket is within 0.5 % of every time in it; there
are 2,764 of them. 0.2 µs a time."""


class TimeSketch:
    """Counts times in seconds, many at once; percentiles are within 1 %."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self._total_s = 0.0

    def add(self, times: Iterable[float]) -> None:
        """Count *times*; those below a microsecond or beyond twelve days count as these."""
        bounded = list(times)
        if bounded and (min(bounded) < SHORTEST_S or max(bounded) > LONGEST_S):
            bounded = [min(max(time, SHORTEST_S), LONGEST_S) for time in bounded]
        self._total_s += sum(bounded)
        self._buckets.update([floor(log(time) * _STEPS) for time in bounded])

    def median(self) -> float:
        """Return the median, in seconds; 0 without any times."""
        return percentile(self._buckets, 0.5, _STEPS)

    def times(self) -> Times | None:
        """Return the times in a few numbers; None without any."""
        if not self._buckets:
            return None
        p50, p90, p99 = (percentile(self._buckets, share, _STEPS) for share in (0.5, 0.9, 0.99))
        return Times(p50, p90, p99, count=self._buckets.total(), total_s=self._total_s)
