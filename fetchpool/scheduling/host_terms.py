"""What a host is asked with where hosts have settings of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from fetchpool.scheduling.retry import RetryPolicy


class HostTerms(msgspec.Struct, frozen=True):
    """The settings of a host that decide when its requests start and start again."""

    per_host: int
    """Requests in progress at most; 0 = no limit of its own."""
    finds_per_host: bool
    """Whether the best number up to that is found while running (`--per-host auto`)."""
    host_rate: float
    """Requests per second; 0 = no such limit."""
    budget_s: float | None
    """Time for a URL of the list; None = no such limit."""
    retry: RetryPolicy


TermsAt: TypeAlias = Callable[[str], HostTerms]
"""Returns the terms of a host by its key; hosts with the same share one object."""
