"""`RowDatabase`: the SQLite file of `--store sqlite`, and all that is said to it in SQL."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.ledger.record import Record, mended
from fetchpool.output.sinks.rows import COLUMNS, values_of
from fetchpool.output.sinks.spool import PIECE

WAL = "-wal"
BESIDE = (WAL, "-shm", "-journal")
"""What may lie beside a database that was not closed."""

_BUSY_S = 5.0
_SQL_TYPES = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER"}
_NAMES = ("number", *COLUMNS)
_COLUMNS = ", ".join(f"{name} {_SQL_TYPES[kind]}" for name, kind in COLUMNS.items())
_CREATE = (
    "BEGIN",
    f"CREATE TABLE records (number INTEGER PRIMARY KEY, {_COLUMNS})",
    "CREATE TABLE bodies (number INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE VIEW fetched AS SELECT records.*, body FROM records LEFT JOIN bodies USING (number)",
    "COMMIT",
)
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS records_by_url ON records (url)",
    "CREATE INDEX IF NOT EXISTS records_by_seq ON records (seq)",
)
_ADD_RECORD = f"INSERT INTO records VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
_ADD_BODY = "INSERT INTO bodies VALUES (?, ?)"
_ADD_ROOM = "INSERT INTO bodies VALUES (?, zeroblob(?))"

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}


class RowDatabase:
    """One database and the only connection to it. Methods raise OSError."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open *path*; an empty file becomes a database with `begin` only."""
        mode = "ro" if read_only else "rw"
        with _os_errors(path):
            self._path = path
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}",
                uri=True,
                timeout=_BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )

    def begin(self, *, fsync: bool) -> None:
        """Make ready to add rows, in a file that is empty or has been written before.

        Without *fsync* SQLite waits for no disk.
        """
        with self._errors():
            self._execute("PRAGMA page_size = 8192")
            self._execute("PRAGMA journal_mode = WAL")
            self._execute(f"PRAGMA synchronous = {'NORMAL' if fsync else 'OFF'}")
            self._execute("PRAGMA wal_autocheckpoint = 4096")  # pages: 32 MB
            self._execute(f"PRAGMA journal_size_limit = {64 << 20}")
            if not self._has_tables():
                for statement in _CREATE:
                    self._execute(statement)

    @property
    def is_todays(self) -> bool:
        """Whether it has the columns that rows have today."""
        with self._errors():
            found = self._execute("SELECT name FROM pragma_table_info('records')")
            return tuple(name for (name,) in found) == _NAMES

    @property
    def last(self) -> int:
        """The largest number of a row; 0 for none."""
        with self._errors():
            (number,) = self._execute("SELECT max(number) FROM records").fetchone()
            return number or 0

    @property
    def size(self) -> int:
        """How many bytes it has, or will have once its log is in it."""
        with self._errors():
            (pages,) = self._execute("PRAGMA page_count").fetchone()
            (each,) = self._execute("PRAGMA page_size").fetchone()
            return int(pages * each)

    def add(self, rows: Sequence[tuple[int, Record, Any]]) -> None:
        """Add number, record and body (None: there is none) of each of *rows*, all or none."""
        try:
            self._add(rows)
        except UnicodeEncodeError:
            self._add([(number, mended(record), body) for number, record, body in rows])

    def _add(self, rows: Sequence[tuple[int, Record, Any]]) -> None:
        with self._errors(), self._connection:
            self._execute("BEGIN")
            values = [(number, *values_of(record)) for number, record, _ in rows]
            self._connection.executemany(_ADD_RECORD, values)
            bodies = [(number, body) for number, _, body in rows if body is not None]
            small = [(number, _whole(body)) for number, body in bodies if body.length <= PIECE]
            self._connection.executemany(_ADD_BODY, small)
            for number, body in bodies:
                if body.length > PIECE:
                    self._add_large(number, body)

    def _add_large(self, number: int, body: Any) -> None:
        """Add a body without having it in memory."""
        self._execute(_ADD_ROOM, (number, body.length))
        with self._connection.blobopen("bodies", "body", number) as blob:
            for piece in body.pieces():
                blob.write(piece)

    def numbers(self) -> Iterator[int]:
        """Yield the number of each row."""
        with self._errors():
            if self._has_tables():
                for (number,) in self._execute("SELECT number FROM records"):
                    yield number

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove rows, all or none of them."""
        with self._errors(), self._connection:
            self._execute("BEGIN IMMEDIATE")
            each = [(number,) for number in numbers]
            self._connection.executemany("DELETE FROM records WHERE number = ?", each)
            self._connection.executemany("DELETE FROM bodies WHERE number = ?", each)

    def length(self, number: int) -> int | None:
        """Return how many bytes the body of a row has, without reading it; None: it has none."""
        with self._errors():
            query = "SELECT length(body) FROM bodies WHERE number = ?"
            row = self._execute(query, (number,)).fetchone()
            return None if row is None else row[0]

    def body(self, number: int) -> Iterator[bytes]:
        """Yield the body of a row piece by piece."""
        with (
            self._errors(),
            self._connection.blobopen("bodies", "body", number, readonly=True) as blob,
        ):
            while piece := blob.read(PIECE):
                yield piece

    def complete(self) -> None:
        """Make the indexes, and one file of what lies beside the database; then close it."""
        with self._errors():
            for index in _INDEXES:
                self._execute(index)
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (mode,) = self._execute("PRAGMA journal_mode = DELETE").fetchone()
            if mode != "delete":  # somebody is reading
                raise OSError(errno.EBUSY, "is in use", str(self._path))
            self._connection.close()

    def close(self) -> None:
        """Close it; may be called again."""
        with self._errors():
            self._connection.close()

    def _has_tables(self) -> bool:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'records'"
        return bool(self._execute(query).fetchone()[0])

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _errors(self) -> Any:
        return _os_errors(self._path)


def _whole(body: Any) -> bytes:
    return b"".join(body.pieces())


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Raise OSError for what SQLite says is wrong."""
    try:
        yield
    except sqlite3.Error as error:
        code = _ERRNO.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, errno.EIO)
        raise OSError(code, str(error), str(path)) from error


def open_to_read(path: Path) -> RowDatabase:
    """Return the database at *path*, which somebody may be writing. Raises OSError."""
    database = RowDatabase(path, read_only=True)
    try:
        database.length(0)
    except OSError as error:
        database.close()
        if error.errno != errno.EROFS:
            raise
        # A killed process left a journal: what it had not completed has to be undone first.
        return RowDatabase(path)
    return database


def numbers_of(path: Path) -> list[int]:
    """Return the numbers of the rows in the database at *path*. Raises OSError."""
    database = open_to_read(path)
    try:
        return list(database.numbers())
    finally:
        database.close()


def read_row(path: Path, number: int, length: int) -> Iterator[bytes]:
    """Yield the body of row *number* of the database at *path*, which somebody may be writing.

    Raises OSError, `NoSuchBodyError` where the row has no body.
    """
    database = open_to_read(path)
    try:
        found = database.length(number)
        if found is None:
            raise NoSuchBodyError("no body was stored")
        if found != length:
            raise OSError(errno.EIO, "the row is not as its record says", str(path))
        yield from database.body(number)
    finally:
        database.close()
