"""How fast a run is now, and how long it may still take."""

from __future__ import annotations

from collections import deque
from math import exp
from typing import Final

WINDOW_S: Final = 3.0
"""The span of "now" for a rate: long enough to be readable, short enough to show a stall."""
SMOOTHING_S: Final = 15.0
"""Time constant of the rate behind the time left: a stall of a second moves it by 6 %."""
FAR_BELOW: Final = 0.3
"""A rate below this share of the smoothed one is no stall but a new speed."""
_FIRST_ESTIMATE_S: Final = 1.0


class Speed:
    """Rates of URLs and bytes from samples of their totals, taken a few times a second."""

    def __init__(self, now: float) -> None:
        self._start = now
        self._samples = deque([(now, 0, 0)])
        self._smooth = 0.0
        self._weight = 0.0

    def sample(self, now: float, urls: int, received: int) -> None:
        """Note that at *now* there were *urls* done and *received* bytes, both in all."""
        last, urls_before, _ = self._samples[-1]
        if now <= last:
            return
        # An exponential average, divided by the weight it has gathered: it is right from the first
        # sample on, where a plain one would start at zero.
        share = 1.0 - exp(-(now - last) / SMOOTHING_S)
        self._smooth += share * ((urls - urls_before) / (now - last) - self._smooth)
        self._weight += share * (1.0 - self._weight)
        self._samples.append((now, urls, received))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()

    def rates(self) -> tuple[float, float]:
        """Return URLs and bytes a second over the window that ends with the last sample."""
        first, last = self._samples[0], self._samples[-1]
        span = last[0] - first[0]
        if span <= 0.0:
            return 0.0, 0.0
        return (last[1] - first[1]) / span, (last[2] - first[2]) / span

    def time_for(self, urls: int) -> float | None:
        """Return the seconds *urls* more will take at the smoothed rate; None = unknown.

        A far lower present rate counts instead: the fast hosts are done, a slow one is left.
        """
        if self._samples[-1][0] - self._start < _FIRST_ESTIMATE_S or self._smooth <= 0.0:
            return None
        smooth, (now, _) = self._smooth / self._weight, self.rates()
        return urls / (now if 0.0 < now < FAR_BELOW * smooth else smooth)
