"""The ledger: `results.jsonl` is the truth, `.fetchpool/` makes it fast and safe.

    RunDirectory.open(DEST) ──settle(today's list)──▶ Settled(ledger, kept, done, waiting)
                                                                  │
    Record.of(outcome) ─▶ Batch ─▶ ledger.append(lines, records) ◀┘   …   ledger.finish(requests)

Every line of the list has at most one record at any instant, whatever killed earlier runs, and
what those recorded is found again without being fetched: `keeping` says what is kept, `settling`
how, `install` why no kill can spoil it.
"""

from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.directory import RunDirectory, Settled
from fetchpool.output.ledger.errors import (
    CannotGoOnError,
    DirectoryBusyError,
    LedgerError,
    NotARunError,
    OutputError,
)
from fetchpool.output.ledger.keeping import Flag, Kept, Previous, decide
from fetchpool.output.ledger.record import Record, encode, recorded_url
from fetchpool.output.ledger.standing import Totals
from fetchpool.output.ledger.state import BodyOptions, Durability, RunOptions
from fetchpool.output.ledger.status import HostFailures, RunStatus, read_status
from fetchpool.output.ledger.waiting import Waiting
from fetchpool.output.ledger.writer import Ledger

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
