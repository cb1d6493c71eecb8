"""Why a directory can't be used for a run; each message is a sentence for the user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LedgerError(Exception):
    """The base of all below."""


class DirectoryBusyError(LedgerError):
    """Another run holds the directory (exit status 75)."""


class LeaseLostError(LedgerError):
    """Another run has taken DEST in an object store, or might have (exit status 75)."""


class OutputError(LedgerError):
    """The directory can't be used; nothing was fetched (exit status 73)."""


class CannotGoOnError(LedgerError):
    """The directory holds a stopped run that this command doesn't fit (exit status 2)."""


class NotARunError(LedgerError):
    """`read_status` found no records where it was told to look."""


@contextmanager
def output_errors(dest: Path) -> Iterator[None]:
    """Turn what the system or the temporary index complains of into an `OutputError`."""
    with index_errors(dest):
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            where = error.filename or dest
            raise OutputError(f"cannot use {where} for the output: {reason}") from error


@contextmanager
def index_errors(dest: Path) -> Iterator[None]:
    """Turn what the temporary index complains of, such as a full disk, into an `OutputError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(f"cannot keep an index in {dest}: {error}") from error
