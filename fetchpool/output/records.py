"""Where `--records` go: as they come to a reader, or at the end all of them to a file.

records ──▶ RecordsFile, in the form that is wanted
the ledger ──▶ WholeRecords, likewise
"""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext, suppress
from io import FileIO
from pathlib import Path

from fetchpool.config import Config
from fetchpool.output.export import (
    PLAIN,
    Form,
    Format,
    Replacement,
    Table,
    copy_records,
    descriptor_written,
    form_of,
    format_of,
    is_stream,
    open_stream,
    write_some,
)
from fetchpool.output.ledger.record import Batch


class RecordsError(Exception):
    """`--records` can't be written; what is to be said about it."""

    def __init__(self, what: str, written: int = 0) -> None:
        super().__init__(what)
        self.written = written
        """How many records of those that were to be written are out."""


class OutputClosedError(RecordsError):
    """The reader has gone."""


def open_records(
    config: Config, table: Table, *, has_ledger: bool
) -> RecordsFile | WholeRecords | None:
    """Open what `--records` names; None where it names nothing. Raises OSError.

    *table* is what is known of the records of the run and their lists, *has_ledger* says that all
    records can be read again at the end.
    """
    target = config.records
    if target is None:
        return None
    form = form_of(config.records_format, target)
    if has_ledger and not is_stream(target):
        return WholeRecords(target, form, table)
    return RecordsFile(target, form, table)


class RecordsFile:
    """A file descriptor that takes whole records; used by one thread at a time."""

    def __init__(self, target: str, form: Form, table: Table = PLAIN) -> None:
        """Open *target*, a path or `-`, and leave in it what there is; raises OSError."""
        self._name = "standard output" if target == "-" else target
        self._is_shared = descriptor_written(target) is not None
        self._is_begun = False
        self._form = form
        self._table = table
        self._format: Format | None = None  # its columns are those of the first records
        self._fd = open_stream(target, os.O_CREAT)

    def make_anew(self) -> None:
        """Drop what an earlier run left in the file, now that nothing refuses this one."""
        self._is_begun = True
        if not self._is_shared and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, 0)

    def write(self, batch: Batch) -> None:
        """Write all records of *batch*, in the thread that waits for the file.

        Raises `RecordsError`, `OutputClosedError` among them.
        """
        header = b""
        if self._format is None:
            self._format = format_of(self._form, self._table, batch)
            header = self._format.header
        records = self._format.batch(batch)
        self._write(header + records if header else records, len(header), self._format)

    def close(self) -> None:
        """Close the descriptor, after a header where a run had no record at all.

        Standard output itself stays open.
        """
        with suppress(RecordsError):
            if self._is_begun and self._format is None:
                form = format_of(self._form, self._table)
                self._write(form.header, len(form.header), form)
        os.close(self._fd)

    def _write(self, data: bytes, begin: int, form: Format) -> None:
        """Write *data*, in which records in *form* begin at *begin*."""
        done = 0
        try:
            while done < len(data):
                done += write_some(self._fd, memoryview(data)[done:])
        except OSError as error:
            kind = OutputClosedError if isinstance(error, BrokenPipeError) else RecordsError
            what = f"cannot write {self._name}: {error.strerror}"
            raise kind(what, form.count(data[begin : max(begin, done)])) from error


class WholeRecords:
    """A file that is to hold all records of the run: a copy of the ledger, made at its end."""

    def __init__(self, target: str, form: Form, table: Table) -> None:
        """Find out that *target* can be written; until `write` its old content stays.

        Raises OSError.
        """
        self._name = target
        self._form = form
        self._table = table
        self._replacement = Replacement(target)

    def write(self, ledger: Path | None) -> None:
        """Write what *ledger* holds, or that there is no record; raises `RecordsError`."""
        try:
            with nullcontext() if ledger is None else FileIO(ledger) as file:
                self._replacement.write(
                    lambda write: copy_records(file, self._form, write, self._table)
                )
        except OSError as error:
            raise RecordsError(f"cannot write {self._name}: {error.strerror}") from error
