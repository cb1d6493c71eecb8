"""Containers that only grow: what is appended in the ledger's order can be cut in it, too.

    append ──▶ Segment (DEST/tar/00000.tar.open) ──(no room for the next)──▶ sealed, another one
    recover ─▶ each container is cut behind its last receipt, completed, sealed

Each process of a run has a segment of its own. None is ever gone on with: what a process has left
open is cut and sealed at the next start, and the next body begins another one.
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fetchpool.model.bodies import StoreError
from fetchpool.model.values import Outcome, Receipt
from fetchpool.output.ledger.files import sync_directory
from fetchpool.output.readable import Readable
from fetchpool.output.sinks.containers import Containers, path_of, sync_file
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.spool import PIECE, SpoolingSink

_MOST_PARTS = 512
"""Pieces that one writev takes: Linux has 1,024 for a limit, others less."""


class Segment:
    """A container that this process appends to. Methods raise OSError."""

    __slots__ = ("_buffer", "_buffered", "_fd", "_written", "name")

    def __init__(self, containers: Containers) -> None:
        """Begin a new one of *containers*."""
        self.name, self._fd = containers.begin()
        """Its name, relative to DEST."""
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._written = 0

    @property
    def end(self) -> int:
        """How many bytes it has, those included that `flush` will write."""
        return self._written + self._buffered

    def add(self, data: bytes) -> None:
        """Put *data* at the end."""
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= PIECE:
            self.flush()

    def flush(self) -> None:
        """Write what was added. If that fails, the file may have some of it."""
        buffer, self._buffer = self._buffer, []
        for first in range(0, len(buffer), _MOST_PARTS):
            parts = buffer[first : first + _MOST_PARTS]
            size = sum(map(len, parts))
            written = os.writev(self._fd, parts)
            rest = memoryview(b"".join(parts)[written:]) if written < size else memoryview(b"")
            while rest:  # the disk is nearly full, or a signal came: the next call tells
                rest = rest[os.write(self._fd, rest) :]
            self._written += size
            self._buffered -= size

    def cut(self, end: int) -> None:
        """Drop all behind byte *end*."""
        self._buffer.clear()
        self._buffered = 0
        os.ftruncate(self._fd, end)
        os.lseek(self._fd, end, os.SEEK_SET)
        self._written = end

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class SegmentSink(SpoolingSink):
    """A sink whose containers only grow."""

    has_containers = True
    trailer = b""
    """What a complete container has behind its last body."""

    def __init__(
        self, place: Place, containers: Containers, *, size: int, patience_s: float
    ) -> None:
        """Begin another of *containers* where one would have more than *size* bytes.

        *patience_s* is for those of earlier runs that are in an object store.
        """
        super().__init__(place)
        self._url = None if place.layout.remote is None else str(place.layout.remote)
        self._patience_s = patience_s
        self.containers = containers
        self._size = size
        self._segment: Segment | None = None
        self._unsynced: set[str] = set()
        self._dest = place.layout.dest
        self._folders: set[Path] = set()  # whose names are on stable storage

    def earlier(self, name: str) -> Readable:
        """Return container *name* of an earlier run. Raises `StoreError`, where it is read, too."""
        if self._url is None:
            return path_of(self._dest, name)
        from fetchpool.output.remote.stored import StoredFile

        return StoredFile(self._url, name, self._patience_s)

    def give_up(self) -> None:
        """See `Sink.give_up`."""
        if self._url is not None:
            from fetchpool.output.remote.stored import bucket_of

            bucket_of(self._url, self._patience_s).give_up()

    @abstractmethod
    def write(self, outcome: Outcome, record: Any) -> None:
        """Append what *outcome* brought, by `segment_for`, and fill in its receipt.

        Raises OSError, `StoreError`.
        """

    def end_of(self, receipt: Receipt) -> int:
        """Return where what belongs to *receipt* ends in its container."""
        return receipt.offset + receipt.length

    def ends_with(self, last: Receipt) -> bool:
        """See `Sink.ends_with`."""
        size = self.containers.path(last.container).stat().st_size
        return size == self.end_of(last) + len(self.trailer)

    def complete(self, name: str, path: Path) -> None:
        """Do what is to be done before container *name*, all written, is sealed. Raises OSError."""

    def finish(self, name: str) -> None:
        """Complete and seal container *name*, which has its trailer and is open. Raises OSError."""
        self.complete(name, self.containers.path(name))
        self.containers.seal(name)

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        """See `Sink.append`."""
        for outcome in outcomes:
            if outcome.receipt is not None and outcome.receipt.container:
                self._unsynced.add(outcome.receipt.container)
        begun_with = self._segment
        start = 0 if begun_with is None else begun_with.end
        try:
            for outcome, record in zip(outcomes, records or [None] * len(outcomes), strict=True):
                self.write(outcome, record)
            if self._segment is not None:
                self._segment.flush()
        except OSError as error:
            self._undo(begun_with, start)
            raise self.containers.error("cannot append to", self._name, error) from error
        except StoreError:  # what is kept of an earlier run could not be read
            self._undo(begun_with, start)
            raise

    def segment_for(self, size: int) -> Segment:
        """Return the segment that *size* bytes go to. Raises OSError."""
        segment = self._segment
        if segment is not None and segment.end and segment.end + size > self._size:
            self.seal()
            segment = None
        if segment is None:
            segment = self._segment = Segment(self.containers)
            self._unsynced.add(segment.name)
        return segment

    def seal(self) -> None:
        """Complete the segment, and give it its final name. Raises OSError."""
        segment = self._segment
        if segment is None:
            return
        segment.add(self.trailer)
        segment.flush()
        segment.close()
        self._segment = None
        self.finish(segment.name)
        if self.leaving is not None:
            self.leaving.add(self._dest / segment.name)

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        """See `Sink.recover`."""
        try:
            self.seal()
            ends = self._ends(receipts)
            for name in list(self.containers.ours()):
                if name in ends:
                    self._trim(name, ends[name])
                elif self.may_go(name, anew=anew):
                    self.containers.remove(name)
        except OSError as error:
            raise self.containers.error("cannot go on with", self._name, error) from error

    def _ends(self, receipts: Iterable[Receipt]) -> dict[str, int]:
        ends: dict[str, int] = {}
        for each in receipts:
            ends[each.container] = max(ends.get(each.container, 0), self.end_of(each))
        return ends

    def extents(self, receipts: Iterable[Receipt]) -> dict[str, Any]:
        """See `Sink.extents`: the byte behind which nothing is named."""
        return self._ends(receipts)

    def exceeds(self, extent: Any, size: int, rows: Callable[[], int | None]) -> bool:
        """See `Sink.exceeds`."""
        return bool(size > extent + len(self.trailer))

    def cut(self, name: str, extent: Any) -> None:
        """See `Sink.cut`."""
        self._trim(name, extent)

    def sync(self) -> None:
        """See `Store.sync`."""
        names, self._unsynced = self._unsynced, set()
        for name in names:
            try:
                self._sync(name)
            except OSError as error:
                raise self.containers.error("cannot sync", name, error) from error
        if self._segment is not None:
            self._unsynced.add(self._segment.name)

    def close(self) -> None:
        """See `Store.close`: what can't be sealed now is by the next run."""
        with suppress(OSError):
            self.seal()
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    @property
    def _name(self) -> str:
        return "" if self._segment is None else self._segment.name

    def _undo(self, begun_with: Segment | None, start: int) -> None:
        """Leave nothing of a batch in the segment; what can't be cut now is at the next start."""
        segment = self._segment
        if segment is None:
            return
        with suppress(OSError):
            segment.cut(start if segment is begun_with else 0)

    def _trim(self, name: str, end: int) -> None:
        """Cut container *name* behind byte *end*, and see that it is complete and sealed."""
        path = self.containers.path(name)
        size, is_open = path.stat().st_size, self.containers.is_open(name)
        if size < end:
            lost = OSError(errno.EIO, os.strerror(errno.EIO))
            raise self.containers.error("records name more than there is of", name, lost)
        if not is_open and size == end + len(self.trailer):
            return
        with path.open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(self.trailer)
        if is_open:
            self.finish(name)
        else:
            self.complete(name, path)

    def _sync(self, name: str) -> None:
        path = self.containers.path(name)
        try:
            sync_file(path)
        except FileNotFoundError:  # sealed meanwhile
            path = self.containers.path(name)
            if self.leaving is not None and not path.exists():
                return  # it is in the object store
            sync_file(path)
        if path.parent not in self._folders:
            sync_directory(path.parent)
            self._folders.add(path.parent)


class Elsewhere:
    """A body in a container of an earlier run, to be copied to one of today's."""

    def __init__(self, path: Readable, offset: int, length: int) -> None:
        self._path = path
        self._offset = offset
        self.length = length

    def before(self, length: int) -> bytes:
        """Return what stands before it. Raises OSError, `StoreError`."""
        return b"".join(pieces_of(self._path, self._offset - length, length))

    def pieces(self) -> Iterator[bytes]:
        """Yield the body piece by piece. Raises OSError, `StoreError`."""
        return pieces_of(self._path, self._offset, self.length)


def pieces_of(path: Readable, offset: int, length: int | None) -> Iterator[bytes]:
    """Yield *length* bytes of a file from *offset* on; None: all there are.

    Raises OSError, of an object `StoreError`.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while length is None or length:
            piece = file.read(PIECE if length is None else min(PIECE, length))
            if not piece and length is None:
                return
            if not piece:
                raise OSError(errno.EIO, "the container is shorter than its records say", path.name)
            yield piece
            length = None if length is None else length - len(piece)
