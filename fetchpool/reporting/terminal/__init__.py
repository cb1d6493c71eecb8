"""Progress and summary for a person, on standard error.

Heading, Snapshot, Summary ──▶ Reporter ──┬─ terminal ──▶ live.py, progress.py, summary.py (rich)
                                          └─ elsewhere ─▶ plain.py (two lines, no rich)
"""

from fetchpool.reporting.terminal.plain import Heading
from fetchpool.reporting.terminal.reporter import Mode, Reporter

__all__ = ["Heading", "Mode", "Reporter"]
