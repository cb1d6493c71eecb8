"""Bodies that are complete and wait for their place in a container: in memory, or in a file.

    put ─────────────────────▶ Spool of bytes ────────┐
                                                      ├─▶ Spooled (a receipt) ──append──▶ container
    open ─write…commit───────▶ Spool in a file ───────┘
                              (without a name)

A spool costs nothing to lose: its file has no name and goes with the process. It is let go when the
body has been appended, or when nobody has its receipt any more: an attempt was cut off.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored, StoreError
from fetchpool.model.values import Head, Receipt, Target
from fetchpool.output.sinks.place import Place

MOST_IN_MEMORY = 16 << 20
"""Bytes of bodies that wait in memory, from which on a sink is behind."""
MOST_IN_FILES = 256 << 20
"""Bytes of bodies that wait in files, from which on a sink is behind."""
MOST_LEAVING = 2
"""Containers that wait to go up, from which on a sink is behind,"""
MOST_LEAVING_BYTES = 256 << 20
"""if they have so many bytes: small ones are sent up many at a time."""
PIECE = 1 << 20
"""What is read of a file at once."""


class Waiting:
    """How much waits, over all spools of a sink."""

    __slots__ = ("in_files", "in_memory")

    def __init__(self) -> None:
        self.in_memory = 0
        self.in_files = 0

    @property
    def too_much(self) -> bool:
        """Whether more would be too much."""
        return self.in_memory >= MOST_IN_MEMORY or self.in_files >= MOST_IN_FILES


class Leaving:
    """Sealed containers of one process that are on their way to an object store."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Path, int]] = deque()
        # Each is counted by one thread alone.
        self._bytes_sealed = 0
        self._bytes_gone = 0

    def add(self, path: Path) -> None:
        """Note that *path* waits to be sent up; it is deleted once it is there.

        From one thread at a time. Raises OSError.
        """
        size = path.stat().st_size
        self._bytes_sealed += size
        self._waiting.append((path, size))

    @property
    def too_many(self) -> bool:
        """Whether another one would be too much; from one thread."""
        waiting = self._waiting
        while waiting and not waiting[0][0].exists():
            self._bytes_gone += waiting.popleft()[1]
        has_many = len(waiting) >= MOST_LEAVING
        return has_many and self._bytes_sealed - self._bytes_gone >= MOST_LEAVING_BYTES


class Spool:
    """The bytes of one body, until they are appended."""

    __slots__ = ("_file", "_waiting", "data", "length")

    def __init__(self, waiting: Waiting, data: bytes, file: IO[bytes] | None, length: int) -> None:
        """Count it in *waiting*; it is *data*, or the *length* bytes that *file* holds."""
        self._waiting = waiting
        self._file = file
        self.data = data
        """The body, unless it is in a file."""
        self.length = length
        if file is None:
            waiting.in_memory += length
        else:
            waiting.in_files += length

    @property
    def in_file(self) -> bool:
        """Whether it is to be read in pieces."""
        return self._file is not None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body, `PIECE` bytes at a time. Raises OSError."""
        if self._file is None:
            yield self.data
            return
        fd, at = self._file.fileno(), 0
        while at < self.length:
            piece = os.pread(fd, min(PIECE, self.length - at), at)
            if not piece:
                raise OSError(errno.EIO, "a spooled body is shorter than it was")
            yield piece
            at += len(piece)

    def __del__(self) -> None:
        if self._file is None:
            self._waiting.in_memory -= self.length
        else:
            self._waiting.in_files -= self.length
            self._file.close()


class Spooled(Receipt, eq=False):
    """The receipt of a body that waits."""

    body: Any = None
    """A `Spool`, or what the sink makes of a body that is elsewhere; None once it is appended."""
    ending: str = ""
    """What its media type or its URL calls it: `html`."""


class SpooledWriter:
    """A body that streams into a file without a name."""

    def __init__(self, sink: SpoolingSink, target: Target, head: Head) -> None:
        self._sink = sink
        self._target = target
        self._head = head
        self._file: IO[bytes] | None = sink.spool_file()
        self._length = 0

    def write(self, chunk: Chunk) -> None:
        """See `BodyWriter.write`."""
        assert self._file is not None
        try:
            rest = memoryview(chunk)
            while rest:
                written = self._file.write(rest)
                self._length += written
                rest = rest[written:]
        except OSError as error:
            self.discard()
            raise self._sink.spool_error(error) from error

    def commit(self) -> Stored:
        """See `BodyWriter.commit`."""
        file, self._file = self._file, None
        spool = Spool(self._sink.waiting, b"", file, self._length)
        return self._sink.spooled(self._target, self._head, spool)

    def discard(self) -> None:
        """See `BodyWriter.discard`."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    suspend = discard


class SpoolingSink(Sink):
    """What sinks of containers have in common: a body waits until its outcome is recorded."""

    appends = True

    def __init__(self, place: Place) -> None:
        self._parts = place.layout.parts
        self.waiting = Waiting()
        """What waits."""
        self.leaving = Leaving() if place.layout.remote is not None else None
        """What waits to be sent up, of a sink of containers."""

    @property
    def behind(self) -> bool:
        """See `Sink.behind`."""
        if self.leaving is not None and self.leaving.too_many:
            return True
        return self.waiting.too_much

    def spooled(self, target: Target, head: Head, spool: Spool) -> Stored:
        """Return the receipt of a complete body."""
        return Stored(receipt=Spooled(body=spool))

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """See `Store.put`."""
        data = bytes(body)
        return self.spooled(target, head, Spool(self.waiting, data, None, len(data)))

    def open(
        self, target: Target, head: Head, about: Representation | None = None
    ) -> SpooledWriter:
        """See `Store.open`: a body that breaks off is not kept."""
        return SpooledWriter(self, target, head)

    def reopen(self, target: Target, url: str) -> None:
        """Return None: no body that broke off is kept."""

    def spool_file(self) -> IO[bytes]:
        """Return a new file without a name, not buffered. Raises StoreError."""
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._parts, buffering=0)
        except OSError as error:
            raise self.spool_error(error) from error

    def spool_error(self, error: OSError) -> StoreError:
        """Return the trouble *error* with a spool."""
        return StoreError("cannot write to", str(self._parts), error.errno or errno.EIO)
