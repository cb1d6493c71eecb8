"""A sink of containers, the smallest there can be: bodies one after the other, a segment a process.

    commit ──▶ Spooled, in memory ──append, in the ledger's order──▶ DEST/segment-00000.bodies

It is what the protocol is tried with, and the example of `docs/architecture.md`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import count
from typing import Any
from weakref import WeakSet

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored, StoreError
from fetchpool.model.values import Head, Outcome, Receipt, Target
from fetchpool.output.sinks import Place

MOST_WAITING = 8
"""Bodies that are committed and not appended, from which on the sink is behind."""


class Spooled(Receipt, eq=False, weakref=True):
    """A receipt whose body is not in a container yet."""

    body: bytes = b""


class Writer:
    """A body that is collected in memory."""

    def __init__(self, sink: Segments) -> None:
        self._sink = sink
        self._buffer = BytesIO()

    def write(self, chunk: Chunk) -> None:
        self._buffer.write(chunk)

    def commit(self) -> Stored:
        return self._sink.spooled(self._buffer.getvalue())

    def discard(self) -> None:
        self._buffer.close()

    suspend = discard


class Segments(Sink):
    """Appends bodies to files in DEST that only this process writes."""

    appends = True

    def __init__(self, place: Place) -> None:
        self._place = place
        self._dest = place.layout.dest
        self._fd = -1
        self._name = ""
        self._end = 0
        self._unsynced: set[str] = set()
        # By what is alive: of an attempt that is cut off, what was committed is never appended.
        self._waiting: WeakSet[Spooled] = WeakSet()

    @property
    def behind(self) -> bool:
        return len(self._waiting) >= MOST_WAITING

    def spooled(self, body: bytes) -> Stored:
        receipt = Spooled(body=body)
        self._waiting.add(receipt)
        return Stored(receipt=receipt)

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        return self.spooled(bytes(body))

    def open(self, target: Target, head: Head, about: Representation | None = None) -> Writer:
        return Writer(self)

    def reopen(self, target: Target, url: str) -> None:
        return None

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        receipts = [each.receipt for each in outcomes if each.receipt is not None]
        self._unsynced |= {each.container for each in receipts if each.container}
        ours = [each for each in receipts if isinstance(each, Spooled)]
        if not ours:
            return
        try:
            if self._fd < 0:
                self._begin()
            self._write(b"".join(each.body for each in ours))
        except OSError as error:
            raise self._error("cannot append to", self._name, error) from error
        for each in ours:
            each.container, each.offset, each.length = self._name, self._end, len(each.body)
            self._end += each.length
            each.body = b""
            self._waiting.discard(each)
        self._unsynced.add(self._name)

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        ends: dict[str, int] = {}
        for each in receipts:
            ends[each.container] = max(ends.get(each.container, 0), each.offset + each.length)
        for path in self._dest.glob("segment-*.bodies"):
            if self._place.is_foreign(path.name):
                continue
            end, size = ends.pop(path.name, 0), path.stat().st_size
            if size < end:
                ends[path.name] = end
            elif not end:
                os.unlink(path)
            elif size > end:
                os.truncate(path, end)
        for name in ends:
            short = OSError(errno.EIO, "")
            raise self._error("records name more than there is of", name, short)

    def sync(self) -> None:
        for name in self._unsynced:
            try:
                with (self._dest / name).open("rb") as file:
                    os.fdatasync(file.fileno())
            except OSError as error:
                raise self._error("cannot sync", name, error) from error
        self._unsynced.clear()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self) -> None:
        """Open a segment that nobody had before: no two processes write the same."""
        for number in count():
            self._name = f"segment-{number:05}.bodies"
            with suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._fd = os.open(self._dest / self._name, flags, 0o666)
                return

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            with suppress(OSError):  # else the next start does it
                os.ftruncate(self._fd, self._end)
            raise

    def _error(self, what: str, name: str, error: OSError) -> StoreError:
        return StoreError(what, str(self._dest / name), error.errno or errno.EIO)
