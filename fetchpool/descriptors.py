"""How many connections the process may have: descriptors are counted before they run out."""

from __future__ import annotations

from contextlib import suppress

import msgspec

with suppress(ImportError):  # Windows has no such limit
    import resource

MOST = 4096
"""Requests at once when `--limit 0` asks for as many as descriptors allow (CONTRACT)."""

RESERVED = 48
"""Descriptors for everything but connections: streams, lists, ledger, DNS, open directories."""

RESERVED_SHARE = 0.5
"""What of a very small limit is reserved at most."""


class Budget(msgspec.Struct, frozen=True):
    """How the descriptors are shared out."""

    limit: int
    """Requests in progress at most."""
    idle: int
    """Idle connections at most."""
    warning: str | None = None
    """A sentence if it had to be less than asked for."""


def make_budget(asked: int) -> Budget:
    """Return the budget for `--limit` *asked*, having raised the soft limit as far as needed.

    A connection in progress counts one and a half: happy eyeballs dials two addresses at once.
    """
    wanted = asked or MOST
    needed = wanted * 2 + RESERVED + wanted // 2
    available = _raise_soft_limit(needed)
    if available is None or available >= needed:
        return Budget(wanted, wanted)
    left = available - min(RESERVED, int(available * RESERVED_SHARE))
    limit = max(1, min(wanted, left * 3 // 5))
    idle = max(0, left - limit * 3 // 2)
    if limit == wanted or not asked:
        return Budget(limit, idle)
    return Budget(
        limit,
        idle,
        f"only {available} files may be open at once: {limit} requests at a time instead of "
        f"{wanted}. Raise it with 'ulimit -n {needed}'.",
    )


def _raise_soft_limit(needed: int) -> int | None:
    """Return how many descriptors may be open, raised towards *needed*; None = no limit known."""
    if "resource" not in globals():
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if soft >= needed:
        return soft
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (ValueError, OSError):
        return soft
    return raised
