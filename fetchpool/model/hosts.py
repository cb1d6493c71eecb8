"""What a display shows of a host."""

from __future__ import annotations

from msgspec import Struct


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
