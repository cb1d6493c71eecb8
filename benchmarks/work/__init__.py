"""The work items, by the name they are chosen by."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.report import Section
from benchmarks.work.auto import auto
from benchmarks.work.bodies import compressed, large
from benchmarks.work.ledger import ledger
from benchmarks.work.lists import lists
from benchmarks.work.refresh import refresh
from benchmarks.work.rows import rows
from benchmarks.work.small import small
from benchmarks.work.startup import startup
from benchmarks.work.stores import stores
from benchmarks.work.tls import closed, pooled
from benchmarks.work.waiting import mixed, names
from benchmarks.work.workers import workers

ITEMS: dict[str, tuple[str, Callable[[Bench], Section]]] = {
    "W1": ("20,000 × 1 KB from one host, to nothing and to files", small),
    "W2": ("HTTPS, 250 hosts, pooled", pooled),
    "W3": ("HTTPS, 250 hosts, a new connection each", closed),
    "W4": ("fast, slow, throttling and dead hosts, against a lower bound", mixed),
    "W5": ("20 × 100 MB", large),
    "W6": ("gzip bodies of 100 KB", compressed),
    "W7": ("lists of 10^5, 10^6, 10^7 lines: memory, first request", lists),
    "W8": ("start-up: --help, one URL", startup),
    "W9": ("20,000 URLs of 2,000 names that answer after 200 ms", names),
    "W10": ("going on over a ledger of 10^7 records", ledger),
    "W11": ("10^6 rows of CSV and JSON lines, carried along", rows),
    "W12": ("20,000 URLs of which nothing has changed, --refresh", refresh),
    "W13": ("20,000 × 10 KB into each store", stores),
    "W15": ("limits that are found while running, beside fixed ones", auto),
    "workers": ("how throughput grows with --workers", workers),
}
