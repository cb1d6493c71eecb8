"""What a ledger holds at this moment, record by record, in flat memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from io import FileIO

from fetchpool.output.export.forms import Form, format_of
from fetchpool.output.export.rows import OPTIONAL, seen_in
from fetchpool.output.ledger.entries import BLOCK, Block, blocks_in

_LONGEST_KEY = 64


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
    found = set(columns)
    if form is Form.CSV and ledger is not None:
        found |= _keys_in(ledger, end, set(OPTIONAL) - found)
    written = format_of(form, found)
    if written.header:
        write(written.header)
    for block in blocks_in(ledger, 0, end) if ledger is not None else ():
        if data := _records_in(block):
            write(written.lines(data))


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
