"""How often requests may start: a rate per second, with small bursts."""

from __future__ import annotations

BURST_S = 0.1
"""The largest burst, as seconds of the rate (at least one request)."""


class RateLimit:
    """A rate per second, as the generic cell rate algorithm (ITU-T I.371, Annex A).

    In any window of W seconds at most `rate * W + rate * BURST_S + 1` requests start.
    """

    __slots__ = ("_slack_s", "_theoretical", "interval_s")

    def __init__(self, rate: float) -> None:
        self.interval_s = 1.0 / rate
        """Seconds between two requests, but for bursts."""
        self._slack_s = max(0.0, BURST_S - self.interval_s)
        self._theoretical = float("-inf")

    @property
    def ready_at(self) -> float:
        """The earliest time the next request may start."""
        return self._theoretical - self._slack_s

    @property
    def full_at(self) -> float:
        """The time from which on the whole burst may be used again."""
        return self._theoretical

    def start(self, now: float) -> None:
        """Record that a request starts at *now* (not before `ready_at`)."""
        self._theoretical = max(self._theoretical, now) + self.interval_s

    def take_back(self) -> None:
        """Undo the last `start`: nothing was sent."""
        self._theoretical -= self.interval_s
