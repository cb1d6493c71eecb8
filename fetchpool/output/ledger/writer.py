"""`Ledger`: the one writer of `results.jsonl`. Whole lines only, in batches, never rewritten."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from fetchpool.output.ledger.checkpoint import write_checkpoint
from fetchpool.output.ledger.entries import Entry
from fetchpool.output.ledger.layout import Layout, remove
from fetchpool.output.ledger.record import Record
from fetchpool.output.ledger.reserve import Reserve
from fetchpool.output.ledger.standing import Standing, Totals
from fetchpool.output.ledger.state import Durability, FileStamp, State, write_state

SYNC_EVERY_S = 1.0
"""Longest time, while records come, that one isn't on stable storage at level `batch`."""
CHECKPOINT_EVERY_S = 5.0
"""So much of a ledger is read again after a kill: at most some 100,000 records, 0.1 s."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a reserve helps against; not EFBIG, which is about one file."""

_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


class Ledger:
    """Appends records to `results.jsonl` and keeps account of what it holds.

    From one thread at a time. What the methods raise is an OSError of the file system: the run
    can't go on (exit status 74), the file holds whole lines, and the same command goes on later.
    """

    def __init__(
        self,
        layout: Layout,
        state: State,
        standing: Standing,
        *,
        durability: Durability,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the ledger that *standing* describes; the rest is a torn line: truncated."""
        self._layout = layout
        self._state = state
        self._standing = standing
        self._durability = durability
        self._fsync = durability != "none"
        self._clock = clock
        self._synced_at = self._checkpoint_at = clock()
        self.disk_full: OSError | None = None
        """Set when the disk was full and the reserve was used: the run records what has ended, and
        then has to end."""
        self.before_sync: Callable[[], None] = lambda: None
        """Called before each sync (`Sink.sync`): bodies reach the disk before their records."""
        self._unsynced = True  # a killed process may have left records that are not
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._fd = os.open(layout.ledger, flags, 0o666)
        found = os.fstat(self._fd)
        self._identity = (found.st_dev, found.st_ino)
        self._torn = found.st_size != standing.offset
        self._cut_torn()
        self._reserve = Reserve(layout.private)

    @property
    def totals(self) -> Totals:
        """How all records in the ledger add up, those kept included."""
        return self._standing.totals

    def append(self, data: bytes, entries: Sequence[Entry | Record]) -> None:
        """Add the lines in *data*, one for each of *entries*, whose bodies are in place.

        0.7 µs each. If the disk becomes full, the lines that fit are in the ledger and count.
        """
        self._check_in_place()
        self._cut_torn()
        self._write(data, entries)
        if self._durability == "strict":
            self.sync()
        now = self._clock()
        if self._durability == "batch" and now - self._synced_at >= SYNC_EVERY_S:
            self.sync()
        if now - self._checkpoint_at >= CHECKPOINT_EVERY_S:
            self.checkpoint()

    def sync(self) -> None:
        """Wait until all records are on stable storage; at level `none`, don't."""
        if self._fsync and self._unsynced:
            self.before_sync()
            _fdatasync(self._fd)
            self._unsynced = False
        self._synced_at = self._clock()

    def checkpoint(self) -> None:
        """Write down what the ledger holds, so that the next start is fast; at any moment.

        No error if that fails: the next start is slower then.
        """
        self.sync()
        with suppress(OSError):
            write_checkpoint(
                self._layout.checkpoint,
                self._layout.ledger,
                self._state.run,
                self._standing,
                synced=self._fsync,
                fsync=False,  # lost or torn, it is found out and done without
            )
        self._checkpoint_at = self._clock()

    def expect(self, requests: int, lines: int = 0, without_request: int = 0) -> None:
        """Write down how many URLs and lines the whole list has, once its end was read.

        Of a shard's, *lines* and *without_request* (see `State`) are those of the whole list.

        Best before the last of their records is appended: then a process that is killed after that
        has finished its run, as a run is finished when every line has a record.
        """
        if (self._state.requests, self._state.lines) != (requests, lines):
            self._note_list(requests, lines, without_request)
            write_state(self._layout.state, self._state, fsync=self._fsync)

    def _note_list(self, requests: int, lines: int, without_request: int) -> None:
        self._state.requests, self._state.lines = requests, lines
        self._state.without_request = without_request

    def finish(self, requests: int, lines: int = 0, without_request: int = 0) -> bool:
        """Mark the run as finished if all *requests* URLs of the list have their record.

        Returns whether they have. Records that waited for lines that never came are dropped.
        """
        self.sync()
        self._note_list(requests, lines, without_request)
        finished = self.totals.records - self._state.records_beside == requests
        if finished:
            self._state.finished = FileStamp.of(os.fstat(self._fd))
            self._state.waiting = False
            self._state.earlier = self._state.joined()
        write_state(self._layout.state, self._state, fsync=self._fsync)
        if finished:
            remove(self._layout.waiting)
        return finished

    def close(self) -> None:
        """Sync, put down a checkpoint and close the file; may be called again."""
        if self._fd < 0:
            return
        try:
            self.checkpoint()
        finally:
            os.close(self._fd)
            self._fd = -1
            self._reserve.release()

    def _check_in_place(self) -> None:
        """Raise if records would go to a file nobody can find any more (DEST removed or moved)."""
        path = self._layout.ledger
        found = path.stat()
        if (found.st_dev, found.st_ino) != self._identity:
            raise OSError(errno.ENOENT, "was replaced while the run was on", str(path))

    def _cut_torn(self) -> None:
        if self._torn:
            os.ftruncate(self._fd, self._standing.offset)
            self._torn = False

    def _write(self, data: bytes, entries: Sequence[Entry | Record]) -> None:
        """Write *data*; count the lines that are in the file then, even if that is not all."""
        written = 0
        self._unsynced = True
        try:
            with memoryview(data) as view:
                while written < len(data):
                    try:
                        written += os.write(self._fd, view[written:])
                    except OSError as error:
                        if error.errno not in DISK_FULL or not self._reserve.release():
                            raise
                        error.filename = str(self._layout.ledger)
                        self.disk_full = error
        finally:
            whole = data[: data.rfind(b"\n", 0, written) + 1]
            if len(whole) < len(data):
                entries = entries[: whole.count(b"\n")]
            self._standing.add(whole, entries)
            if written != len(whole):
                self._torn = True
                with suppress(OSError):  # the next `append`, or the next start, cuts it
                    self._cut_torn()
