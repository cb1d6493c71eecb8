"""Percentiles of very many times, in memory that doesn't grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import exp, floor, log
from typing import Final

from ddsketch import DDSketch

from fetchpool.reporting.stats.values import Times

# Outside of these a time says nothing, and a sketch would need a bin for every 1 % on the way.
SHORTEST_S: Final = 1e-6
LONGEST_S: Final = 1e6

_ACCURACY: Final = 0.005
_STEPS: Final = 100
"""Times are rounded to the middle of steps of 1 % before they reach the sketch, all that share one
at once: 0.2 µs a time instead of 0.7. With the sketch's own half percent that makes one."""


class TimeSketch:
    """Times in seconds, taken in by the batch; percentiles are within 1 %."""

    def __init__(self) -> None:
        self._sketch = DDSketch(_ACCURACY)
        self._total_s = 0.0

    def add(self, times: Iterable[float]) -> None:
        """Take in *times*; those beyond a microsecond and twelve days count as these."""
        bounded = [min(max(time, SHORTEST_S), LONGEST_S) for time in times]
        self._total_s += sum(bounded)
        for step, count in Counter([floor(log(time) * _STEPS) for time in bounded]).items():
            self._sketch.add(exp((step + 0.5) / _STEPS), count)

    def median(self) -> float:
        """Return the time half of them stayed below; 0 without any."""
        return float(self._sketch.get_quantile_value(0.5) or 0.0)

    def times(self) -> Times | None:
        """Return what there is in a few numbers; None without any."""
        if not self._sketch.count:
            return None
        p50, p90, p99 = (
            float(self._sketch.get_quantile_value(share) or 0.0) for share in (0.5, 0.9, 0.99)
        )
        return Times(p50, p90, p99, count=round(self._sketch.count), total_s=self._total_s)
