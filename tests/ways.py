"""The ways to run the program: how requests are exchanged, on which event loop.

Two ways of the four run everything, and with that each exchange and each loop once. The other two
run what depends on both, and a sample of the rest; with `TEST_WAYS=all` they run everything, too.
With `TEST_WAYS=first` there is but one way, for a round of tests that varies something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

ALL = os.environ.get("TEST_WAYS") == "all"
ONLY_FIRST = os.environ.get("TEST_WAYS") == "first"

EXCHANGES = ("direct",) if ONLY_FIRST else ("direct", "session")
LOOPS = ("uvloop",) if ONLY_FIRST else ("uvloop", "asyncio")
WAYS = {
    f"{exchange}-{loop}": ("--exchange", exchange, "--event-loop", loop)
    for exchange in EXCHANGES
    for loop in LOOPS
}
"""Each by its name: the options of the program."""

RUN_ALL = frozenset({"direct-uvloop", "session-asyncio"})
"""Who run every row of a table."""

SAMPLE = 8
"""Each of the others runs one in so many of the rows that depend on exchange or loop alone."""


def rows_of(way: str, rows: Iterable[T], depends_on_both: Callable[[T], bool]) -> list[T]:
    """Return which of *rows* are run this *way*: the same each time."""
    everything, own = ALL or way in RUN_ALL, list(WAYS).index(way)
    return [
        row
        for number, row in enumerate(rows)
        if everything or depends_on_both(row) or number % SAMPLE == own
    ]
