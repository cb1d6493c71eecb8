"""What a ledger holds at this moment, record by record, in flat memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import FileIO

from fetchpool.output.export.forms import Form, format_of
from fetchpool.output.export.rows import PLAIN, Table, completed
from fetchpool.output.ledger.entries import Block, blocks_in


def copy_records(
    ledger: FileIO | None, form: Form, write: Callable[[bytes], object], table: Table = PLAIN
) -> None:
    """Give all records of *ledger* to *write*, in their order; None is a ledger without any.

    A run may go on appending meanwhile: what was there at the start is read, and whole lines only.
    CSV has the columns of *table*, and those that a record has. Raises OSError, and what *write*
    raises.
    """
    end = 0 if ledger is None else os.fstat(ledger.fileno()).st_size

    def pieces() -> Iterator[bytes]:
        for block in blocks_in(ledger, 0, end) if ledger is not None else ():
            if data := _records_in(block):
                yield data

    if form is Form.CSV:
        table = completed(table, pieces)
    written = format_of(form, table)
    if written.header:
        write(written.header)
    for data in pieces():
        write(written.lines(data))


def _records_in(block: Block) -> bytes:
    """Return the lines of *block* without those that are no record."""
    if None not in block.entries:
        return block.data
    pairs = zip(block.lines(), block.entries, strict=True)
    return b"".join(line for line, entry in pairs if entry is not None)
