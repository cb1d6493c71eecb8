"""Records and bodies as rows of an SQLite database (`--store sqlite`).

    append ──▶ a transaction in DEST/sqlite/fetched-00000.sqlite.open (and its WAL)
    sync ────▶ the WAL is on stable storage
    close ───▶ DEST/sqlite/fetched-00000.sqlite, one file, with its indexes

A process has one database, to which there is one connection, and the next run goes on with it.
What goes to an object store can't grow there: a database of some size is sealed, another begun.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fetchpool.config import Config
from fetchpool.model.bodies import Stored
from fetchpool.model.values import Earlier, Outcome, Receipt, Target
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.files import sync_directory
from fetchpool.output.ledger.receipts import read_earlier_receipts
from fetchpool.output.sinks.containers import (
    OPEN,
    Containers,
    path_of,
    sync_file,
)
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.rows import body_of, named_rows, receipt_of
from fetchpool.output.sinks.spool import Spooled, SpoolingSink
from fetchpool.output.sinks.sqlite_file import BESIDE, WAL, RowDatabase, numbers_of, open_to_read

ENDING = ".sqlite"
SEGMENT_SIZE = 256 << 20
"""Where a database ends that goes to an object store."""
_TRANSACTION_BYTES = 1 << 20
"""Of bodies: SQLite caches 2 MB of a transaction, and writes what has no room there twice."""
_MOST_READ = 4
"""Databases of earlier runs that are kept open."""


class SqliteSink(SpoolingSink):
    """Adds a row for each outcome to a database."""

    takes_records = True
    has_containers = True

    def __init__(self, config: Config, place: Place) -> None:
        """Store the bodies of a run in *place*."""
        super().__init__(place)
        self._layout = place.layout
        self._dest = place.layout.dest
        self._fsync = config.durability != "none"
        self._containers = Containers(place, "sqlite", ENDING, stem="fetched-", fsync=self._fsync)
        self._database: RowDatabase | None = None
        self._name = ""
        self._most = (config.segment_size or SEGMENT_SIZE) if self.leaving is not None else 0
        self._last = 0
        self._before = ""
        """The database that this run had before it was stopped, to be gone on with."""
        self._unsynced: set[str] = set()
        self._in_place: set[str] = set()  # databases whose names are on stable storage
        # What is kept is looked at in the thread of the event loop, and copied in another. None of
        # these databases is the one that grows.
        self._looked_at = _Opened(self._dest)
        self._copied_from = _Opened(self._dest)

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        """See `Sink.append`: in transactions, of which those before one that fails stay.

        Their rows have no record then, and go at the next start.
        """
        rows: list[tuple[Receipt, Any]] = []
        size = 0
        try:
            for outcome, record in zip(outcomes, records, strict=True):
                receipt = receipt_of(outcome)
                if receipt.container:
                    self._unsynced.add(receipt.container)
                    continue
                rows.append((receipt, record))
                size += record.bytes
                if size >= _TRANSACTION_BYTES:
                    self._add(rows)
                    rows, size = [], 0
            if rows:
                self._add(rows)
        except OSError as error:
            raise self._containers.error("cannot append to", self._name, error) from error

    def _add(self, rows: Sequence[tuple[Receipt, Any]]) -> None:
        database = self._database or self._begin()
        first = self._last + 1
        database.add(
            [(first + at, record, body_of(receipt)) for at, (receipt, record) in enumerate(rows)]
        )
        self._last += len(rows)
        self._unsynced.add(self._name)
        for number, (receipt, _) in enumerate(rows, first):
            body = body_of(receipt)
            receipt.container, receipt.offset = self._name, number
            if isinstance(receipt, Spooled):
                receipt.length, receipt.body = body.length, None
        if self._most and database.size >= self._most:
            self._seal_full(database)

    def _seal_full(self, database: RowDatabase) -> None:
        """Seal the database that grows, unless somebody reads it: then it grows on."""
        try:
            database.complete()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return
        self._database = None
        self._containers.seal(self._name)
        assert self.leaving is not None
        self.leaving.add(self._dest / self._name)

    def _begin(self) -> RowDatabase:
        """Open the database that rows go to: that of an earlier run, or a new one."""
        database = self._reopened(self._before) if self._before else None
        self._before = ""
        if database is None:
            self._name, descriptor = self._containers.begin()
            # Closed before SQLite opens it: with any descriptor of a file all its locks go.
            os.close(descriptor)
            database = RowDatabase(self._dest / (self._name + OPEN))
        self._database = database
        database.begin(fsync=self._fsync)
        self._last = database.last
        return database

    def _reopened(self, name: str) -> RowDatabase | None:
        """Return database *name*, growing again; None if its rows are those of another version."""
        database = RowDatabase(self._containers.path(name))
        is_todays = database.is_todays
        database.close()
        if not is_todays:
            return None
        self._containers.unseal(name)
        self._name = name
        return RowDatabase(self._dest / (name + OPEN))

    def has(self, target: Target, earlier: Earlier) -> bool:
        """See `Sink.has`."""
        if earlier.place is None or not earlier.place[0].endswith(ENDING):
            return False
        container, number, length = earlier.place
        with suppress(OSError):
            return length == earlier.bytes == self._looked_at.get(container).length(number)
        return False

    def keep(self, earlier: Earlier) -> Stored:
        """See `Sink.keep`."""
        assert earlier.place is not None
        return Stored(receipt=Spooled(body=_Row(self._copied_from, *earlier.place)))

    def ends_with(self, last: Receipt) -> bool:
        """See `Sink.ends_with`."""
        database = open_to_read(self._containers.path(last.container))
        try:
            return database.last == last.offset
        finally:
            database.close()

    def rows_in(self, name: str) -> int:
        """See `Sink.rows_in`."""
        return len(numbers_of(self._containers.path(name)))

    def extents(self, receipts: Iterable[Receipt]) -> dict[str, Bitmap]:
        """See `Sink.extents`: the numbers of rows."""
        return named_rows(receipts)

    def exceeds(self, extent: Bitmap, size: int, rows: Callable[[], int | None]) -> bool:
        """See `Sink.exceeds`."""
        return rows() != len(extent)

    def cut(self, name: str, extent: Bitmap) -> None:
        """See `Sink.cut`."""
        self._settle(name, extent)

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        """See `Sink.recover`: what no record names is removed, wherever it stands."""
        try:
            self._stop_reading()
            self._seal()
            named = named_rows(receipts)
            earlier = {each.container for each in read_earlier_receipts(self._layout)}
            for name in list(self._containers.ours()):
                self._name = name
                if name in named:
                    self._settle(name, named[name])
                    if goes_on and name not in earlier and self.leaving is None:
                        self._before = name
                else:
                    self._remove(name)
        except OSError as error:
            raise self._containers.error("cannot go on with", self._name, error) from error

    def _settle(self, name: str, named: Bitmap) -> None:
        """Leave of database *name* the rows that are *named*, and see that it is sealed."""
        path, is_open = self._containers.path(name), self._containers.is_open(name)
        database = RowDatabase(path)
        try:
            found, too_many = 0, []
            for number in database.numbers():
                if number in named:
                    found += 1
                else:
                    too_many.append(number)
            if found < len(named):
                lost = OSError(errno.EIO, os.strerror(errno.EIO))
                raise self._containers.error("records name more than there is of", name, lost)
            if too_many:
                database.remove(too_many)
            if is_open:
                database.complete()
        finally:
            database.close()
        if is_open:
            self._containers.seal(name)

    def _remove(self, name: str) -> None:
        path = self._containers.path(name)
        for ending in BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        self._containers.remove(name)

    def sync(self) -> None:
        """See `Store.sync`: what is committed and isn't in the database yet is in its WAL.

        SQLite resets a WAL only after it has synced the database, so this is enough, for the
        databases of other processes too: it takes no connection to them.
        """
        names, self._unsynced = self._unsynced, set()
        for name in names:
            try:
                self._sync(name)
            except OSError as error:
                raise self._containers.error("cannot sync", name, error) from error

    def _sync(self, name: str) -> None:
        growing = self._dest / (name + OPEN)
        paths = [growing.with_name(growing.name + WAL)]
        if name != self._name or self._database is None:  # nobody's lock goes by closing it
            paths += [growing, self._dest / name]  # it is being sealed, or was
        for path in paths:
            with suppress(FileNotFoundError):
                sync_file(path)
                break
        else:
            if self.leaving is not None:
                return  # it is in the object store
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(growing))
        if name not in self._in_place:
            sync_directory(growing.parent)
            self._in_place.add(name)

    def close(self) -> None:
        """See `Store.close`: what can't be sealed now is by the next run."""
        with suppress(OSError):
            self._seal()
        with suppress(OSError):
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._looked_at.close()
        self._copied_from.close()

    def _seal(self) -> None:
        """Complete the database that grows, and give it its final name. Raises OSError."""
        database, self._database = self._database, None
        if database is not None:
            try:
                database.complete()
            finally:
                database.close()
            self._containers.seal(self._name)


class _Opened:
    """Databases of earlier runs that are kept open, for one thread."""

    def __init__(self, dest: Path) -> None:
        self._dest = dest
        self._databases: dict[str, RowDatabase] = {}

    def get(self, container: str) -> RowDatabase:
        """Return the database called so. Raises OSError."""
        found = self._databases.get(container)
        if found is None:
            if len(self._databases) >= _MOST_READ:
                self.close()
            found = self._databases[container] = open_to_read(path_of(self._dest, container))
        return found

    def close(self) -> None:
        """Close them. Raises OSError."""
        while self._databases:
            self._databases.popitem()[1].close()


class _Row:
    """A body in a row of an earlier run, to be copied to one of today's."""

    def __init__(self, opened: _Opened, container: str, number: int, length: int) -> None:
        self._opened = opened
        self._container = container
        self._number = number
        self.length = length

    def pieces(self) -> Iterator[bytes]:
        """Yield the body piece by piece. Raises OSError."""
        return self._opened.get(self._container).body(self._number)
