"""What a ledger holds at this moment, record by record, in flat memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from enum import Enum
from io import FileIO

from fetchpool.output.export.rows import OPTIONAL, Columns, seen_in
from fetchpool.output.ledger.entries import BLOCK, Block, blocks_in

_LONGEST_KEY = 64


class Form(Enum):
    """How records are written."""

    JSONL = "jsonl"
    CSV = "csv"


def form_of(wanted: str, path: str) -> Form:
    """Return the form *wanted*: `jsonl`, `csv`, or `auto`, which is by the name of *path*."""
    if wanted == "auto":
        return Form.CSV if path.lower().endswith(".csv") else Form.JSONL
    return Form(wanted)


def copy_records(
    ledger: FileIO | None,
    form: Form,
    write: Callable[[bytes], object],
    *,
    columns: Collection[str] = (),
) -> None:
    """Give all records of *ledger* to *write*, in their order; None is a ledger without any.

    A run may go on appending meanwhile: what was there at the start is read, and whole lines only.
    CSV has the optional *columns*, and those that a record has. Raises OSError, and what *write*
    raises.
    """
    end = 0 if ledger is None else os.fstat(ledger.fileno()).st_size
    if form is Form.CSV:
        found = set(columns)
        if ledger is not None:
            found |= _keys_in(ledger, end, set(OPTIONAL) - found)
        table = Columns(found)
        write(table.header())
    for block in blocks_in(ledger, 0, end) if ledger is not None else ():
        data = _records_in(block)
        if data:
            write(table.rows(data) if form is Form.CSV else data)


def _records_in(block: Block) -> bytes:
    """Return the lines of *block* without those that are no record."""
    if None not in block.entries:
        return block.data
    pairs = zip(block.lines(), block.entries, strict=True)
    return b"".join(line for line, entry in pairs if entry is not None)


def _keys_in(ledger: FileIO, end: int, keys: set[str]) -> set[str]:
    """Return which of *keys* a record in the first *end* bytes has."""
    found: set[str] = set()
    before = b""
    for piece in _pieces(ledger, end):
        found |= seen_in(before + piece, keys - found)
        before = piece[-_LONGEST_KEY:]
    return found


def _pieces(ledger: FileIO, end: int) -> Iterator[bytes]:
    ledger.seek(0)
    while (left := end - ledger.tell()) > 0 and (piece := ledger.read(min(BLOCK, left))):
        yield piece
