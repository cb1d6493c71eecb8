"""What fetchpool is to reach beside its peers, on a machine with two cores."""

from __future__ import annotations

from benchmarks.report import Target

AHEAD = Target(1.0)
"""Of the tools that are far slower: no more than this is asked."""

AHEAD_OF = ("aria2c", "minet fetch", "parfive")

RATIOS: dict[tuple[str, str], Target] = {
    ("W1 to nothing, one core each", "curl -Z"): Target(0.7, 1.1),
    ("W1 to nothing, one core each", "lychee"): Target(1.3, 2.0),
    ("W1 to files on tmpfs, one core each", "wget2"): Target(0.7, 1.0),
    ("W1 to files on tmpfs, one core each", "curl -Z"): Target(0.5, 0.8),
    ("W1 to files on tmpfs, all cores", "curl -Z"): Target(0.8, 1.2),
    ("W1 to files on disk, all cores", "curl -Z"): Target(0.8, 1.2),
    ("W1 to nothing, all cores", "lychee"): Target(1.0, 1.5),
    ("W1 to nothing, all cores", "curl -Z"): Target(0.8, 1.2),
    ("W2 HTTPS, pooled", "curl -Z"): Target(5, 9),
    ("W3 HTTPS, a new connection each", "curl -Z"): Target(1.8, 2.2),
    ("W2 HTTPS, pooled", "curl -Z, with the system's roots"): Target(5, 9),
    ("W3 HTTPS, a new connection each", "curl -Z, with the system's roots"): Target(1.8, 2.2),
    ("W5 20 large bodies", "curl -Z"): Target(0.9, 1.2),
}
"""Peer's time divided by fetchpool's, by race and peer."""

W4_BOUND = Target(0.87, 0.95)
"""Lower bound divided by time."""
W7_MEMORY = Target(120, 80, " MB", less_is_better=True)
"""At 10^7 lines, all processes together."""
W7_FIRST_REQUEST = Target(1.2, 0.9, " s", less_is_better=True)
W8_HELP_CPU = Target(0.3, 0.22, " s", less_is_better=True)
W8_ONE_URL = Target(0.95, 0.75, " s", less_is_better=True)
W9_BOUND = Target(0.8, 0.95)
W10_SECONDS = Target(60, 15, " s", less_is_better=True)
W10_MEMORY = Target(200, 100, " MB", less_is_better=True)
W11_CSV = Target(4.0, unit=" µs", less_is_better=True)
W11_JSON_LINES = Target(2.0, unit=" µs", less_is_better=True)
W11_MEMORY = Target(110, unit=" MB", less_is_better=True)
W11_FIRST = {
    "CSV": Target(1.0, unit=" s", less_is_better=True),
    "Parquet": Target(1.5, unit=" s", less_is_better=True),
}
W12_BYTES = Target(0.5, less_is_better=True)
W13_CPU = {
    "files": Target(25, unit=" µs", less_is_better=True),
    "tar": Target(25, unit=" µs", less_is_better=True),
    "sqlite": Target(30, unit=" µs", less_is_better=True),
    "parquet": Target(75, unit=" µs", less_is_better=True),
    "warc": Target(110, unit=" µs", less_is_better=True),
}
"""CPU of a URL over a run that stores nothing."""
W13_PEERS = Target(3.0)
"""Peer's time divided by fetchpool's."""
W15_BEST = Target(0.9)
"""The best fixed setting's time divided by that with limits that are found."""


def of(race: str, peer: str) -> Target | None:
    """Return what is to be reached against *peer* in *race*, or None."""
    return RATIOS.get((race, peer)) or (AHEAD if peer in AHEAD_OF else None)
