"""Records and bodies as rows of Parquet files (`--store parquet`).

    append ──▶ DEST/parquet/part-00000.parquet.open, a spool (`row_spool`)
               full, or the end ──▶ ….parquet.new ──▶ part-00000.parquet, and the spool goes

A kill leaves the spool or the part, or both, which then hold the same.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from fetchpool.config import Config
from fetchpool.model.bodies import Stored
from fetchpool.model.values import Earlier, Outcome, Receipt, Target
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.record import Record, encode
from fetchpool.output.readable import Readable
from fetchpool.output.sinks.containers import Containers
from fetchpool.output.sinks.parquet_file import (
    ENDING,
    convert,
    numbers_of,
    part_of,
    rewrite,
)
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.row_spool import head_of
from fetchpool.output.sinks.rows import body_of, named_rows, receipt_of
from fetchpool.output.sinks.segments import SegmentSink
from fetchpool.output.sinks.spool import Spooled

SEGMENT_SIZE = 256 << 20
_NEW = ".new"


class ParquetSink(SegmentSink):
    """Adds a row for each outcome to a spool, and makes Parquet of it."""

    takes_records = True

    def __init__(self, config: Config, place: Place) -> None:
        """Store the bodies of a run in *place*."""
        fsync = config.durability != "none"
        containers = Containers(place, "parquet", ENDING, stem="part-", fsync=fsync)
        size = config.segment_size or SEGMENT_SIZE
        super().__init__(place, containers, size=size, patience_s=config.outage_patience)
        self._rows = 0

    def write(self, outcome: Outcome, record: Record) -> None:
        """See `SegmentSink.write`."""
        receipt = receipt_of(outcome)
        if receipt.container:
            return
        body = body_of(receipt)
        length = None if body is None else body.length
        told = encode(record)
        segment = self.segment_for(len(told) + (length or 0))
        self._rows = 0 if not segment.end else self._rows + 1
        segment.add(head_of(self._rows, told, length))
        if body is not None:
            for piece in body.pieces():
                segment.add(piece)
        receipt.container, receipt.offset = segment.name, self._rows
        if isinstance(receipt, Spooled):
            receipt.length, receipt.body = length or 0, None

    def has(self, target: Target, earlier: Earlier) -> bool:
        """See `Sink.has`; a part in an object store isn't looked at, it has what records name."""
        if earlier.place is None or not earlier.place[0].endswith(ENDING):
            return False
        container, number, length = earlier.place
        if self.leaving is not None:
            return length == earlier.bytes
        with suppress(OSError):
            return length == earlier.bytes == part_of(self.earlier(container)).length(number)
        return False

    def keep(self, earlier: Earlier) -> Stored:
        """See `Sink.keep`."""
        assert earlier.place is not None
        container, number, length = earlier.place
        return Stored(receipt=Spooled(body=_Row(self.earlier(container), number, length)))

    def finish(self, name: str) -> None:
        """See `SegmentSink.finish`: nothing says yet which rows have a record."""
        self._make_part(name, None)

    def ends_with(self, last: Receipt) -> bool:
        """See `Sink.ends_with`."""
        return max(numbers_of(self.containers.path(last.container))) == last.offset

    def rows_in(self, name: str) -> int:
        """See `Sink.rows_in`."""
        return len(numbers_of(self.containers.path(name)))

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
        name = ""
        try:
            self.seal()
            named = named_rows(receipts)
            for name in list(self.containers.ours()):
                self._new(name).unlink(missing_ok=True)
                if not self.containers.is_open(name):
                    self.containers.remove_open(name)
                if name in named:
                    self._settle(name, named[name])
                else:
                    self.containers.remove(name)
        except OSError as error:
            raise self.containers.error("cannot go on with", name, error) from error

    def _settle(self, name: str, named: Bitmap) -> None:
        """Leave of container *name* the rows that are *named*, in a part."""
        if self.containers.is_open(name):
            found = self._make_part(name, named)
        else:
            part, new = self.containers.path(name), self._new(name)
            numbers = numbers_of(part)
            found = sum(number in named for number in numbers)
            if found < len(numbers):
                rewrite(part, new, named.__contains__)
                self.containers.seal_as(name, new)
        if found < len(named):
            lost = OSError(errno.EIO, os.strerror(errno.EIO))
            raise self.containers.error("records name more than there is of", name, lost)

    def _make_part(self, name: str, named: Bitmap | None) -> int:
        """Make a part of a spool, of the rows that are *named* or of all; return how many."""
        new = self._new(name)
        try:
            count = convert(
                self.containers.path(name), new, None if named is None else named.__contains__
            )
            if count:
                self.containers.seal_as(name, new)
            else:
                self.containers.remove(name)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise
        return count

    def _new(self, name: str) -> Path:
        return self._dest / (name + _NEW)


class _Row:
    """A body in a row of an earlier run, to be copied to one of today's."""

    def __init__(self, part: Readable, number: int, length: int) -> None:
        self._part = part
        self._number = number
        self.length = length

    def pieces(self) -> Iterator[bytes]:
        """Yield the body. Raises OSError, `StoreError`."""
        yield part_of(self._part).body(self._number) or b""
