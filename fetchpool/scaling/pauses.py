"""Hosts that asked to be left alone, and until when: more than one process may need to know."""

from __future__ import annotations

from fetchpool.scaling.messages import Park

_SWEEP_AT = 1024


class Pauses:
    """The pauses that are not over, by host; *now* is always the clock of this process."""

    def __init__(self) -> None:
        self._pauses: dict[str, tuple[float, int]] = {}
        """When the pause of each host ends, and the status that asked for it."""
        self._sweep_at = _SWEEP_AT

    def extend(self, host: str, seconds: float, status: int, now: float) -> Park:
        """Let the pause of *host* end later by *seconds*; return all that is left of it."""
        until = max(self._pauses.get(host, (now, 0))[0], now) + seconds
        park = Park(host, until - now, status)
        self.note(park, now)
        return park

    def note(self, park: Park, now: float) -> None:
        """Add a pause; of two for one host the one that ends later stands."""
        until = now + park.seconds
        if until > self._pauses.get(park.host, (now, 0))[0]:
            self._pauses[park.host] = until, park.status
        if len(self._pauses) > self._sweep_at:
            self._pauses = {host: it for host, it in self._pauses.items() if it[0] > now}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._pauses))

    def current(self, now: float) -> list[Park]:
        """Return what is left of those that are not over."""
        return [
            Park(host, until - now, status)
            for host, (until, status) in self._pauses.items()
            if until > now
        ]
