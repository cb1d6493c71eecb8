"""Times counted in buckets: floor(steps · ln s) for *s* seconds; each stands for its middle."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Final

SHORTEST_S: Final = 1e-6
"""Shorter times say nothing, and each would take a bucket."""


def percentile(buckets: Mapping[int, int], share: float, steps: int) -> float:
    """Return the time below which a *share* of those in *buckets* lie, in seconds; 0 without any.

    *buckets* maps the number of a bucket to how many times are in it.
    """
    rank = share * (sum(buckets.values()) - 1)
    seen = 0
    for number in sorted(buckets):
        seen += buckets[number]
        if seen > rank:
            return exp((number + 0.5) / steps)
    return 0.0
