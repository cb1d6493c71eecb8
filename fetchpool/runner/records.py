"""Where `--records` go: a file made anew, or standard output; as JSON Lines or as CSV.

encoded records ──▶ RecordsFile: as they are
                ──▶ CsvFile: decoded, cells made harmless, one row each
"""

from __future__ import annotations

import csv
import os
import re
import select
import stat
from contextlib import suppress
from io import StringIO

import msgspec

from fetchpool.config import Config
from fetchpool.ledger import Record
from fetchpool.urls import display

STDOUT = 1


class OutputClosedError(Exception):
    """The reader of standard output has gone."""


def open_records(config: Config, *, several: bool) -> RecordsFile | None:
    """Open what `--records` names; None where it names nothing. Raises OSError.

    *several* says that records name their source.
    """
    if config.records is None:
        return None
    if not is_csv(config.records_format, config.records):
        return RecordsFile(config.records)
    return CsvFile(config.records, several=several, insecure=config.insecure)


def is_csv(form: str, target: str) -> bool:
    """Tell whether `--records` *target* is CSV under the `--records-format` *form*."""
    return form == "csv" or (form == "auto" and target.lower().endswith(".csv"))


class RecordsError(Exception):
    """`--records` can't be written; what is to be said about it."""


class RecordsFile:
    """A file descriptor that takes whole records; used by one thread at a time."""

    def __init__(self, target: str) -> None:
        """Open *target*, a path or `-`, and leave in it what there is; raises OSError."""
        self._name = "standard output" if target == "-" else target
        self._is_stdout = target == "-"
        self._is_begun = False
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.dup(STDOUT) if target == "-" else os.open(target, flags, 0o666)

    def make_anew(self) -> None:
        """Drop what an earlier run left in the file, now that nothing refuses this one."""
        self._is_begun = True
        if not self._is_stdout and stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, 0)

    def write(self, data: bytes) -> None:
        """Write *data*, records as `fetchpool.ledger.encode` makes them, all of it.

        Raises `OutputClosedError` or `RecordsError`.
        """
        self._write(data)

    def close(self) -> None:
        """Close the descriptor; standard output itself stays open."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:  # somebody who shares the pipe made it non-blocking
                    select.select([], [self._fd], [])
        except BrokenPipeError as error:
            raise OutputClosedError from error
        except OSError as error:
            raise RecordsError(f"cannot write {self._name}: {error.strerror}") from error


class CsvFile(RecordsFile):
    """The same as CSV (RFC 4180) in UTF-8: a header, then a row a record, none over several lines.

    The columns are the record's keys in their order; `source` and `line` are there for *several*
    sources only, `insecure` for a run that is.
    """

    def __init__(self, target: str, *, several: bool, insecure: bool) -> None:
        super().__init__(target)
        left_out = set() if several else {"source", "line"}
        left_out |= set() if insecure else {"insecure"}
        self._columns = [key for key in Record.__struct_fields__ if key not in left_out]
        self._has_header = False

    def write(self, data: bytes) -> None:
        """Write the records in *data* as rows, in the thread that waits for the file (6.5 µs each).

        Raises like `RecordsFile.write`.
        """
        rows = StringIO()
        writer = csv.writer(rows, lineterminator="\r\n")
        if not self._has_header:
            writer.writerow(self._columns)
            self._has_header = True
        columns = self._columns
        for record in _decode_lines(data):
            writer.writerow([_cell(getattr(record, key)) for key in columns])
        self._write(rows.getvalue().encode())

    def close(self) -> None:
        """Close the descriptor, after a header where a run had no record at all."""
        with suppress(OutputClosedError, RecordsError):
            if self._is_begun and not self._has_header:
                self.write(b"")
        super().close()


_decode_lines = msgspec.json.Decoder(Record).decode_lines

# What begins a formula (OWASP, "CSV Injection"), at the start of a cell or behind a `;`, where
# spreadsheets of half of Europe begin one. A blank or a quote before it may be dropped on import.
_FORMULA = re.compile('(\\A|;)(?=[ "]*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-])')


def _cell(value: str | float | bool | None) -> str | float:
    """Return *value* as it stands in a cell: harmless to spreadsheets, terminals and line readers.

    Only texts come from outside; what has no printable form in them becomes an escape (`\\r`).
    """
    if isinstance(value, str):
        # Most begin with a letter or a digit: 0.2 µs instead of the search's 1.5.
        if value[:1].isalnum() and ";" not in value:
            return display(value)
        return display(_FORMULA.sub(r"\1'", value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
