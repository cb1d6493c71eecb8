"""Hosts that asked to be left alone, and until when: more than one process may need to know."""

from __future__ import annotations

from fetchpool.scaling.messages import Park

_SWEEP_AT = 1024


class Pauses:
    """The pauses that are not over, by host; what is over is forgotten now and then."""

    def __init__(self) -> None:
        self._parks: dict[str, Park] = {}
        self._sweep_at = _SWEEP_AT

    def extend(self, host: str, seconds: float, status: int, now: float) -> Park:
        """Take note that *host*'s pause ends so much later than was known; return all of it."""
        known = self._parks.get(host)
        before = now if known is None else max(known.until, now)
        park = Park(host, before + seconds, status)
        self.note(park, now)
        return park

    def note(self, park: Park, now: float) -> None:
        """Take note of a pause; one that ends later stands."""
        known = self._parks.get(park.host)
        if known is None or park.until > known.until:
            self._parks[park.host] = park
        if len(self._parks) > self._sweep_at:
            self._parks = {park.host: park for park in self.current(now)}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._parks))

    def current(self, now: float) -> list[Park]:
        """Return those that are not over."""
        return [park for park in self._parks.values() if park.until > now]
