"""Counters of a run, in memory that doesn't grow with the list, and the values read from them.

outcome(), kept(), request_sent(), … ──▶ Stats ──▶ snapshot(now) ──▶ progress display
                                           └─────▶ summary(now)  ──▶ last screen, run(), metrics
"""

from fetchpool.model.values import failure_label
from fetchpool.reporting.stats.counters import Stats, another_try_may_help, failure_reason
from fetchpool.reporting.stats.failures import FailedLine, FailureGroup, FailureTable
from fetchpool.reporting.stats.hosts import GivenUpHost, ParkedHost, SlowHost
from fetchpool.reporting.stats.values import (
    Ending,
    RunState,
    Snapshot,
    Summary,
    Times,
)

__all__ = [
    "Ending",
    "FailedLine",
    "FailureGroup",
    "FailureTable",
    "GivenUpHost",
    "ParkedHost",
    "RunState",
    "SlowHost",
    "Snapshot",
    "Stats",
    "Summary",
    "Times",
    "another_try_may_help",
    "failure_label",
    "failure_reason",
]
