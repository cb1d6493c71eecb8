"""Records on their way out: gathered into batches, to the ledger first, then to `--records`.

    put(line) ──▶ pending ──(256 of them, or 100 ms)──▶ bodies synced ▶ ledger ▶ --records
                                                              one lane             another

While one batch is being written the next one gathers; when that is full, `put` waits: a slow disk
or a slow reader of `--records -` slows the fetching down and nothing piles up.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fetchpool.runner.lanes import Lane

if TYPE_CHECKING:
    from fetchpool.ledger import Ledger
    from fetchpool.stores import Store

BATCH_LINES = 256
BATCH_S = 0.1
MOST_PENDING = 4096
"""Lines that gather before `put` waits."""

SYNC_BODIES_EVERY_S = 1.0
"""As the ledger syncs itself: bodies must be there before the records that speak of them."""

STDOUT = 1


class OutputClosedError(Exception):
    """The reader of standard output has gone."""


class RecordsFile:
    """Where `--records` go: a file made anew, or standard output."""

    def __init__(self, target: str) -> None:
        """Open *target*, a path or `-`; raises OSError."""
        self._is_stdout = target == "-"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.dup(STDOUT) if self._is_stdout else os.open(target, flags, 0o666)

    def write(self, data: bytes) -> None:
        """Write all of *data*; raises `OutputClosedError` or OSError."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError as error:
            raise OutputClosedError from error

    def close(self) -> None:
        """Close the descriptor; standard output itself stays open."""
        os.close(self._fd)


class Journal:
    """Writes encoded records to the ledger and to `--records`, whichever there are."""

    def __init__(
        self, ledger: Ledger | None, records: RecordsFile | None, store: Store, *, sync: bool
    ) -> None:
        self._ledger = ledger
        self._records = records
        self._store = store
        self._sync = sync
        self._synced_at = time.monotonic()
        self._ledger_lane = Lane("ledger")
        self._records_lane = Lane("records")
        self._pending: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write what gathers; needs a running loop."""
        self._ticker = asyncio.create_task(self._tick(), name="fetchpool-journal")

    async def put(self, line: bytes) -> None:
        """Take a record; raises what went wrong with writing earlier ones.

        `OutputClosedError` if nobody reads standard output any more, else OSError or `StoreError`.
        """
        self._pending.append(line)
        if len(self._pending) >= BATCH_LINES:
            self._check()
            if self._writing is None:
                self._start_writing()
            elif len(self._pending) >= MOST_PENDING:
                await asyncio.wait((self._writing,))

    async def flush(self) -> None:
        """Write everything taken so far; raises like `put`."""
        while self._writing is not None or self._pending:
            self._check()
            if self._writing is None:
                self._start_writing()
            if self._writing is not None:
                await asyncio.wait((self._writing,))
        self._check()

    async def in_ledger_lane(self, call: Callable[[], object]) -> None:
        """Run *call*, which uses the ledger, where the ledger is used."""
        await self._ledger_lane.submit(call)

    def sync_bodies(self) -> None:
        """Bring the bodies to stable storage, if the run promises that; blocks."""
        if self._sync:
            self._store.sync()
            self._synced_at = time.monotonic()

    def _check(self) -> None:
        if self._writing is not None and self._writing.done():
            self._writing.result()
            self._writing = None

    def _start_writing(self) -> None:
        lines, self._pending = self._pending, []
        if lines:
            self._writing = asyncio.create_task(self._write(lines), name="fetchpool-records")

    async def _write(self, lines: list[bytes]) -> None:
        if self._ledger is not None:
            await self._ledger_lane.submit(lambda: self._append(lines))
        records = self._records
        if records is not None:
            await self._records_lane.submit(lambda: records.write(b"".join(lines)))

    def _append(self, lines: list[bytes]) -> None:
        assert self._ledger is not None
        if time.monotonic() - self._synced_at >= SYNC_BODIES_EVERY_S:
            self.sync_bodies()
        self._ledger.append(lines)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(BATCH_S)
            if self._writing is None or (self._writing.done() and not self._writing.exception()):
                self._writing = None
                self._start_writing()

    async def close(self) -> None:
        """Stop; what is pending is lost (call `flush` before). The ledger stays open."""
        for task in (self._ticker, self._writing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._ledger_lane.close()
        self._records_lane.close()
