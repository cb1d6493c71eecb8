"""Counters of a run, in memory that does not grow with the list, and the values read from them.

outcome(), kept(), request_sent(), … ──▶ Stats ──▶ snapshot(now) ──▶ progress display
                                           └─────▶ summary(now)  ──▶ last screen, run(), metrics
"""

from fetchpool.models import failure_label
from fetchpool.stats.counters import Stats
from fetchpool.stats.hosts import ParkedHost, SlowHost
from fetchpool.stats.values import (
    Ending,
    HostState,
    RunState,
    Snapshot,
    Summary,
    Times,
)

__all__ = [
    "Ending",
    "HostState",
    "ParkedHost",
    "RunState",
    "SlowHost",
    "Snapshot",
    "Stats",
    "Summary",
    "Times",
    "failure_label",
]
