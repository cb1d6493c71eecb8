"""Whether this run may still write at its prefix: told by who renews the lease to all processes.

    lease thread ──after each renewal──▶ .fetchpool/lease ◀──before each body── sinks of all workers

A process that was suspended, or cut off from the store, for longer than the lease may have been
taken for dead. It writes nothing then before the lease is renewed, or known to be lost.
"""

from __future__ import annotations

import time
from pathlib import Path

from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.output.ledger.files import replace_file

LOST = "lost"


def now() -> float:
    """Return seconds by a clock that all processes here share and that goes on in a suspension."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def allow(path: Path, until: float) -> None:
    """Let writing go on until then, by `now`. Raises OSError."""
    replace_file(path, f"{until}\n".encode(), fsync=False)


def forbid(path: Path, why: str) -> None:
    """Let nobody write any more. Raises OSError."""
    replace_file(path, f"{LOST} {why}\n".encode(), fsync=False)


class Leave:
    """Looked at before each write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._until = 0.0

    def __call__(self) -> bool:
        """Tell whether writing is allowed; 0.3 µs while it is. Raises `LeaseLostError`."""
        if now() < self._until:
            return True
        try:
            text = self._path.read_text("utf-8")
        except FileNotFoundError:
            return False
        word, _, why = text.strip().partition(" ")
        if word == LOST:
            raise LeaseLostError(why)
        self._until = float(word)
        return now() < self._until
