"""How long the steps of attempts took: percentiles from all records, or from some of very many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import floor, log
from typing import Final

import msgspec

from fetchpool.model.values import Timings
from fetchpool.reporting.stats import Times
from fetchpool.reporting.stats.buckets import SHORTEST_S, percentile
from fetchpool.reporting.stats.times import LONGEST_S

FINE: Final = 100
"""Times are counted in buckets whose neighbours differ by 1 %."""

ALL_UNTIL: Final = 50_000
"""How many records are looked at before only every `EVERY`th is."""
EVERY: Final = 32
"""A record takes 4 µs, a report of ten million may take half a minute in all."""


class StepTimes:
    """Counts the times of each step; one that stands for others counts as often as they are."""

    def __init__(self) -> None:
        self._buckets: dict[str, Counter[int]] = {
            name: Counter() for name in Timings.__struct_fields__
        }
        self._counts: Counter[str] = Counter()
        self._totals_s = dict.fromkeys(Timings.__struct_fields__, 0.0)
        self._read = 0
        self._seen = 0
        self._decode = msgspec.json.Decoder(Timings).decode

    def add(self, timings: Sequence[msgspec.Raw]) -> None:
        """Count *timings*, each as it stands in its record."""
        weight = 1 if self._seen < ALL_UNTIL else EVERY
        first = -self._read % weight  # every one of all, whatever comes at once
        self._read += len(timings)
        for raw in timings[first::weight]:
            if not raw:
                continue
            self._seen += weight
            try:
                found = self._decode(raw)
            except msgspec.DecodeError:
                continue
            for name, buckets in self._buckets.items():
                took: float | None = getattr(found, name)
                if took is not None:
                    bounded = min(max(took, SHORTEST_S), LONGEST_S)
                    buckets[floor(log(bounded) * FINE)] += weight
                    self._counts[name] += 1
                    self._totals_s[name] += bounded * weight

    def times(self) -> Mapping[str, Times]:
        """Return the times of those steps that records tell of; `count` is of those looked at."""
        found = {
            name: times_of(buckets, self._counts[name], self._totals_s[name])
            for name, buckets in self._buckets.items()
        }
        return {name: times for name, times in found.items() if times is not None}


def times_of(buckets: Mapping[int, int], count: int, total_s: float) -> Times | None:
    """Return the times in *buckets* (of `FINE`) in a few numbers; None without any."""
    if not buckets:
        return None
    p50, p90, p99 = (percentile(buckets, share, FINE) for share in (0.5, 0.9, 0.99))
    return Times(p50, p90, p99, count=count, total_s=total_s)
