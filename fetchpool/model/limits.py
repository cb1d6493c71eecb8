"""The word that has a limit found while running, for all who read a limit."""

from __future__ import annotations

from typing import Final, Literal

AUTO: Final = "auto"

AUTO_PER_HOST = 64
"""Requests at once that `--per-host auto` gives a host, at most."""


def most_per_host(per_host: int | Literal["auto"]) -> int:
    """Return how many requests at once `--per-host` allows at most; 0 = no limit of its own."""
    return AUTO_PER_HOST if per_host == AUTO else per_host
