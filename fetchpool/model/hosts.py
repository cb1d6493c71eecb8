"""What is told of hosts: what a display shows of one, and what limits were found to be best."""

from __future__ import annotations

from msgspec import Struct


class Found(Struct, frozen=True):
    """What limits that are found while running have come to."""

    limit: int | None = None
    """Requests at once over all hosts; None = that is fixed, or nothing is known yet."""
    fewest: int | None = None
    """The smallest limit that a host's came to; None as above."""
    most: int | None = None
    """The largest one."""

    def __or__(self, other: Found) -> Found:
        """Return both, of two parts of a run."""
        limits = [each.limit for each in (self, other) if each.limit is not None]
        fewest = [each.fewest for each in (self, other) if each.fewest is not None]
        most = [each.most for each in (self, other) if each.most is not None]
        return Found(
            sum(limits) if limits else None, min(fewest, default=None), max(most, default=None)
        )


class HostState(Struct, frozen=True):
    """A host at a moment: what waits, what runs, and what holds it up."""

    host: str
    running: int = 0
    waiting: int = 0
    window: int = 0
    """How many requests it gets at once."""
    slowed: bool = False
    """True if *window* was lowered; else it may still be growing, as a host starts gently."""
    parked_s: float = 0.0
    """Seconds until a request may start; 0 = now."""
    why: str | None = None
    """Why none may: `429`, `503`, `failing fast: …`."""
    finds: bool = False
    """True if *window* is found while running (`--per-host auto`)."""
