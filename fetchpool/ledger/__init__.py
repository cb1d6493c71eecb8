"""The ledger: `results.jsonl` is the truth, `.fetchpool/` makes it fast and safe.

    RunDirectory.open(DEST) ──settle(today's list)──▶ Settled(ledger, kept, done, waiting)
                                                          │
    Record.of(outcome) ──encode──▶ ledger.append(lines) ◀─┘   …   ledger.finish(requests)

Every line of the list has at most one record at any instant, whatever killed earlier runs, and
what those recorded is found again without being fetched: `keeping` says what is kept, `settling`
how, `install` why no kill can spoil it.
"""

from fetchpool.ledger.bitmap import Bitmap
from fetchpool.ledger.directory import RunDirectory, Settled
from fetchpool.ledger.errors import (
    CannotGoOnError,
    DirectoryBusyError,
    LedgerError,
    NotARunError,
    OutputError,
)
from fetchpool.ledger.keeping import Flag, Kept, Previous, decide
from fetchpool.ledger.record import Record, encode, recorded_url
from fetchpool.ledger.standing import Totals
from fetchpool.ledger.state import BodyOptions, Durability, RunOptions
from fetchpool.ledger.status import HostFailures, RunStatus, read_status
from fetchpool.ledger.waiting import Waiting
from fetchpool.ledger.writer import Ledger

__all__ = [
    "Bitmap",
    "BodyOptions",
    "CannotGoOnError",
    "DirectoryBusyError",
    "Durability",
    "Flag",
    "HostFailures",
    "Kept",
    "Ledger",
    "LedgerError",
    "NotARunError",
    "OutputError",
    "Previous",
    "Record",
    "RunDirectory",
    "RunOptions",
    "RunStatus",
    "Settled",
    "Totals",
    "Waiting",
    "decide",
    "encode",
    "read_status",
    "recorded_url",
]
