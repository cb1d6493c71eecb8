"""How many connections and directories may be open: descriptors are counted before they run out."""

from __future__ import annotations

from contextlib import suppress

import msgspec

with suppress(ImportError):  # Windows has no such limit
    import resource

MOST = 4096
"""Requests at once when `--limit 0` asks for as many as descriptors allow (CONTRACT)."""

IDLE_WANTED = 256
"""Idle connections worth keeping whatever `--limit`: a list that goes round many hosts finds the
last one's connection still there. Not more: under TLS each takes some 256 KB."""

MOST_DIRECTORIES = 512
"""Directories a store keeps open where there are descriptors enough: a list that goes round 200
hosts stores a body of 1 KB in 30 µs then, in 36 where they are 64 (ext4)."""

DIRECTORIES_SHARE = 1 / 8
"""What of a small limit goes to directories at most: they save time, connections do the work."""

RESERVED = 48
"""Descriptors for everything else: streams, event loop, lists, ledger, DNS, spill, logs."""

RESERVED_SHARE = 0.5
"""What of a very small limit is reserved at most."""


AT_LEAST = 32
"""Descriptors without which nothing goes: with 28 a run broke off, with 24 none began (Linux)."""


class Budget(msgspec.Struct, frozen=True):
    """How the descriptors are shared out."""

    limit: int
    """Requests in progress at most."""
    idle: int
    """Idle connections at most."""
    directories: int
    """Directories a store may keep open."""
    warning: str | None = None
    """A sentence if it had to be less than asked for."""


def make_budget(asked: int) -> Budget:
    """Return the budget for `--limit` *asked*, having raised the soft limit as far as needed.

    A request in progress counts two: happy eyeballs dials two addresses at once, and later a body
    that streams to disk is a second file beside its connection. The same *asked* gives the same
    budget again.
    """
    wanted = asked or MOST
    idle_wanted = max(wanted, IDLE_WANTED)
    needed = wanted * 2 + idle_wanted + MOST_DIRECTORIES + RESERVED
    available = _raise_soft_limit(needed)
    if available is None or available >= needed:
        return Budget(wanted, idle_wanted, MOST_DIRECTORIES)
    directories = min(MOST_DIRECTORIES, int(available * DIRECTORIES_SHARE))
    left = available - directories - min(RESERVED, int(available * RESERVED_SHARE))
    limit = max(1, min(wanted, left * 2 // 5))
    idle = max(0, min(idle_wanted, left - limit * 2))
    if limit == wanted or not asked:
        return Budget(limit, idle, directories)
    return Budget(
        limit,
        idle,
        directories,
        f"only {available} files may be open at once: {limit} requests at a time instead of "
        f"{wanted}. Raise it with 'ulimit -n {needed}'.",
    )


def why_too_few() -> str | None:
    """Return why there can be no run with as few descriptors as there are; None: they suffice."""
    available = _raise_soft_limit(AT_LEAST)
    if available is None or available >= AT_LEAST:
        return None
    return (
        f"only {available} files may be open at once, and a run takes {AT_LEAST}: "
        f"raise that with 'ulimit -n {AT_LEAST}', better more"
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
