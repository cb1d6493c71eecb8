"""Where `--records` go: as they come to a reader, or at the end all of them to a file.

encoded records ──▶ RecordsFile: as they are
                ──▶ CsvFile: decoded, cells made harmless, one row each
the ledger ──▶ WholeRecords, in either form
"""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext, suppress
from io import FileIO
from pathlib import Path

from fetchpool.config import Config
from fetchpool.output.export import (
    Columns,
    Form,
    Replacement,
    copy_records,
    form_of,
    is_stream,
    write_some,
)

STDOUT = 1


class OutputClosedError(Exception):
    """The reader of standard output has gone."""

    def __init__(self, written: int = 0) -> None:
        super().__init__()
        self.written = written
        """Whole lines of what was to be written that are out."""


def open_records(
    config: Config, *, several: bool, has_ledger: bool
) -> RecordsFile | WholeRecords | None:
    """Open what `--records` names; None where it names nothing. Raises OSError.

    *several* says that records name their source, *has_ledger* that all of them can be read again
    at the end.
    """
    target = config.records
    if target is None:
        return None
    form = form_of(config.records_format, target)
    if has_ledger and not is_stream(target):
        columns = optional_columns(several=several, insecure=config.insecure)
        return WholeRecords(target, form, columns)
    if form is Form.CSV:
        return CsvFile(target, several=several, insecure=config.insecure)
    return RecordsFile(target)


class RecordsError(Exception):
    """`--records` can't be written; what is to be said about it."""

    def __init__(self, what: str, written: int = 0) -> None:
        super().__init__(what)
        self.written = written
        """Whole lines of what was to be written that are in the file."""


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
        """Write *data*, records as `fetchpool.output.ledger.encode` makes them, all of it.

        Raises `OutputClosedError` or `RecordsError`.
        """
        self._write(data)

    def close(self) -> None:
        """Close the descriptor; standard output itself stays open."""
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += write_some(self._fd, memoryview(data)[done:])
        except BrokenPipeError as error:
            raise OutputClosedError(data.count(b"\n", 0, done)) from error
        except OSError as error:
            what = f"cannot write {self._name}: {error.strerror}"
            raise RecordsError(what, data.count(b"\n", 0, done)) from error


class CsvFile(RecordsFile):
    """The same as CSV: `source` and `line` for *several* sources only, `insecure` where it is."""

    def __init__(self, target: str, *, several: bool, insecure: bool) -> None:
        super().__init__(target)
        self._columns = Columns(optional_columns(several=several, insecure=insecure))
        self._has_header = False

    def write(self, data: bytes) -> None:
        """Write the records in *data* as rows, in the thread that waits for the file (7 µs each).

        Raises like `RecordsFile.write`.
        """
        headers = 0 if self._has_header else 1
        header = self._columns.header() if headers else b""
        self._has_header = True
        try:
            self._write(header + self._columns.rows(data))
        except (OutputClosedError, RecordsError) as error:
            error.written = max(0, error.written - headers)
            raise

    def close(self) -> None:
        """Close the descriptor, after a header where a run had no record at all."""
        with suppress(OutputClosedError, RecordsError):
            if self._is_begun and not self._has_header:
                self.write(b"")
        super().close()


def optional_columns(*, several: bool, insecure: bool) -> set[str]:
    """Return the columns that a run has beside those of every record."""
    return ({"source", "line"} if several else set()) | ({"insecure"} if insecure else set())


class WholeRecords:
    """A file that is to hold all records of the run: a copy of the ledger, made at its end."""

    def __init__(self, target: str, form: Form, columns: set[str]) -> None:
        """Find out that *target* can be written; until `write` its old content stays.

        Raises OSError.
        """
        self._name = target
        self._form = form
        self._columns = columns
        self._replacement = Replacement(target)

    def write(self, ledger: Path | None) -> None:
        """Write what *ledger* holds, or that there is no record; raises `RecordsError`."""
        try:
            with nullcontext() if ledger is None else FileIO(ledger) as file:
                self._replacement.write(
                    lambda write: copy_records(file, self._form, write, columns=self._columns)
                )
        except OSError as error:
            raise RecordsError(f"cannot write {self._name}: {error.strerror}") from error
