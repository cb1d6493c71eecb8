"""Finds the name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

NEAR = 0.8
"""The share of two names' letters that must be the same, in order. With difflib's own 0.6,
`threads` would be near to `header`."""

NEAR_BEGINNING = 0.6
"""The same for a name that begins with the written one."""


def nearest(written: str, names: Iterable[str]) -> str | None:
    """Return the one of *names* that *written* probably means, or None; all without dashes.

    That is the option with the same purpose if *written* is another tool's, a name that differs in
    a letter or two, or one that adds a few letters to *written*.
    """
    from fetchpool.config.habits import same_elsewhere  # which a command without mistakes spares

    known = list(names)
    if (same := same_elsewhere(written)) in known:
        return same
    swapped = [name for name in known if sorted(name) == sorted(written)]
    longer = [name for name in known if name.startswith(written)]
    near = get_close_matches(written, longer, n=1, cutoff=NEAR_BEGINNING)
    near += get_close_matches(written, known, n=1, cutoff=NEAR) + swapped
    return near[0] if near else None
