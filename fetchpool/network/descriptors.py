"""How many connections and directories may be open, given the system's limit of descriptors."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import msgspec

from fetchpool.model.limits import AUTO

with suppress(ImportError):  # Windows has no such limit
    import resource

MOST = 4096
"""Requests at once when `--limit 0` asks for as many as descriptors allow (CONTRACT)."""

IDLE_WANTED = 256
"""Idle connections worth keeping whatever `--limit`: a list that cycles over many hosts then reuses
the last one's connection. Not more: under TLS each takes some 256 KB."""

MOST_DIRECTORIES = 512
"""Directories a store keeps open if descriptors allow: storing 1 KB bodies over 200 hosts in turn
takes 30 µs each then, and 36 µs with 64 directories (ext4)."""

DIRECTORIES_SHARE = 1 / 8
"""The largest share of a small limit that directories get; connections matter more."""

RESERVED = 48
"""Descriptors for everything else: streams, event loop, lists, ledger, DNS, spill, logs."""

RESERVED_SHARE = 0.5
"""The largest share of a very small limit that is reserved."""


AT_LEAST = 32
"""Descriptors that a run needs at least: with 28 it failed midway, with 24 at once (Linux)."""


class Budget(msgspec.Struct, frozen=True):
    """How the descriptors are shared out."""

    limit: int
    """Requests in progress at most."""
    idle: int
    """Idle connections at most."""
    directories: int
    """Directories a store may keep open."""
    warning: str | None = None
    """A sentence for the user if the limit had to be lowered."""


def make_budget(limit: int | Literal["auto"]) -> Budget:
    """Return the budget for `--limit`, and raise the soft limit as far as needed.

    What is found while running may come to as much as descriptors allow, as with `--limit 0`.
    A request in progress counts two: happy eyeballs dials two addresses at once, and later a body
    that streams to disk is a second file. The same *limit* gives the same budget again.
    """
    asked = 0 if limit == AUTO else limit
    wanted = asked or MOST
    idle_wanted = max(wanted, IDLE_WANTED)
    needed = wanted * 2 + idle_wanted + MOST_DIRECTORIES + RESERVED
    available = _raise_soft_limit(needed)
    if available is None or available >= needed:
        return Budget(wanted, idle_wanted, MOST_DIRECTORIES)
    directories = min(MOST_DIRECTORIES, int(available * DIRECTORIES_SHARE))
    left = available - directories - min(RESERVED, int(available * RESERVED_SHARE))
    allowed = max(1, min(wanted, left * 2 // 5))
    idle = max(0, min(idle_wanted, left - allowed * 2))
    if allowed == wanted or not asked:
        return Budget(allowed, idle, directories)
    return Budget(
        allowed,
        idle,
        directories,
        f"only {available} files may be open at once: {allowed} requests at a time instead of "
        f"{wanted}. Raise it with 'ulimit -n {needed}'.",
    )


def why_too_few() -> str | None:
    """Return why there are too few descriptors for a run; None: they suffice."""
    available = _raise_soft_limit(AT_LEAST)
    if available is None or available >= AT_LEAST:
        return None
    return (
        f"only {available} files may be open at once, and a run needs {AT_LEAST}: "
        f"raise the limit with 'ulimit -n {AT_LEAST}' or more"
    )


def _raise_soft_limit(needed: int) -> int | None:
    """Raise the soft limit towards *needed*; return it, or None where no limit is known."""
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
