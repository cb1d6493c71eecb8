"""Records on their way out: gathered into batches, to the ledger first, then to `--records`.

    put(outcomes) ─▶ pending ──(256 of them, or 100 ms)──▶ ledger ──▶ --records
                                                            one lane   another

While one batch is being written the next one gathers; when that is full, `put` waits: a slow disk
or a slow reader of `--records -` slows the fetching down and nothing piles up.

What has been written is told, and counts only then: the figures shown are those of the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from fetchpool.output.ledger.record import Batch, Record
from fetchpool.output.records import RecordsError
from fetchpool.run.lanes import Lane

if TYPE_CHECKING:
    from pathlib import Path

    from fetchpool.model.values import Outcome
    from fetchpool.output.ledger import Ledger
    from fetchpool.output.ledger.entries import Entry, Line
    from fetchpool.output.records import RecordsFile

Recorded: TypeAlias = "Outcome | Entry"
"""What a record was made of: an outcome of this run, or what an earlier run's record says."""

BATCH_LINES = 256
BATCH_S = 0.1
MOST_PENDING = 4096
"""Lines that gather before `put` waits."""


class Journal:
    """Writes the records of outcomes to the ledger and to `--records`, whichever there are."""

    def __init__(
        self,
        records: RecordsFile | None,
        on_recorded: Callable[[Sequence[Recorded]], None],
        keys: Container[str] = (),
    ) -> None:
        """Take over *records*, to be closed at the end; tell *on_recorded* what is written.

        That is what the ledger holds; without a ledger, what *records* took; without either, all.
        Records have those of *keys* beside the ones that all have.
        """
        self._keys = keys
        self._on_recorded = on_recorded
        self._ledger: Ledger | None = None
        self._path: Path | None = None
        self._records = records
        self._ledger_lane = Lane("ledger")
        self._records_lane = Lane("records")
        self._pending = _Pending()
        self._writing: asyncio.Task[None] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._on_trouble: Callable[[], None] = lambda: None
        self._broken: BaseException | None = None
        self._records_failed = False
        self._reader_given_up = asyncio.Event()
        self.trouble: BaseException | None = None
        """Why the run is to end although the ledger takes records still: `--records` can't be
        written (any more: `OutputClosedError`), or the disk is all but full."""

    def write_to(self, ledger: Ledger, path: Path) -> None:
        """Write to *ledger*, too, and first; a person knows it as *path*."""
        self._ledger = ledger
        self._path = path

    def start(self, on_trouble: Callable[[], None]) -> None:
        """Begin to write what gathers; *on_trouble* is called once fetching on is no use."""
        if self._records is not None:
            self._records.make_anew()
        self._on_trouble = on_trouble
        self._ticker = asyncio.create_task(self._tick(), name="fetchpool-journal")

    async def put(self, outcomes: list[Outcome]) -> None:
        """Take outcomes to be recorded.

        Raises what went wrong with writing earlier ones: OSError or `StoreError`.
        """
        if self._ledger is None and self._records is None:
            self._on_recorded(outcomes)
            return
        keys = self._keys
        self._pending.outcomes += outcomes
        self._pending.records += [Record.of(each, keys) for each in outcomes]
        await self._write_if_many()

    async def keep(self, line: Line) -> None:
        """Take the record of an earlier run, for the ledger only; raises like `put`."""
        self._pending.kept.append(line)
        await self._write_if_many()

    async def _write_if_many(self) -> None:
        count = len(self._pending)
        if count >= BATCH_LINES:
            self._check()
            self._start_writing()
            if count >= MOST_PENDING and self._writing is not None:
                await asyncio.wait((self._writing,))

    async def flush(self) -> None:
        """Write everything taken so far; raises like `put`."""
        while True:
            self._check()
            self._start_writing()
            if self._writing is None:
                return
            await asyncio.wait((self._writing,))

    async def in_ledger_lane(self, call: Callable[[], object]) -> None:
        """Run *call*, which uses the ledger, where the ledger is used; an OSError names a file."""
        await self._ledger_lane.submit(partial(self._naming_the_ledger, call))

    def give_up_reader(self) -> None:
        """Wait no longer for whoever reads `--records`: from now on only the ledger is written."""
        self._reader_given_up.set()

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _start_writing(self) -> None:
        """Begin with what is pending, unless a batch is being written."""
        pending = self._pending
        if self._writing is not None or not len(pending):
            return
        self._pending = _Pending()
        self._writing = asyncio.create_task(self._write(pending), name="fetchpool-records")
        self._writing.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
            self._on_trouble()

    def _end_run(self, why: BaseException) -> None:
        if self.trouble is None:
            self.trouble = why
            self._on_trouble()

    async def _write(self, pending: _Pending) -> None:
        batch = Batch(pending.records)
        if self._ledger is not None:
            await self._write_to_ledger(self._ledger, pending, batch)
        if self._records is None or not pending.records:
            return
        if self._reader_given_up.is_set() or self._records_failed:
            return
        writing = self._records_lane.submit(partial(self._records.write, batch))
        written = 0
        try:
            if await self._unless_given_up(writing):
                written = len(pending.records)
        except RecordsError as error:
            written = error.written
            self._records_failed = True
            self._end_run(error)
        if self._ledger is None:
            self._on_recorded(pending.outcomes[:written])

    async def _write_to_ledger(self, ledger: Ledger, pending: _Pending, batch: Batch) -> None:
        before = ledger.totals.records
        recorded: list[Recorded] = [line.entry for line in pending.kept]
        recorded += pending.outcomes

        def append() -> None:
            data = b"".join([*(line.raw for line in pending.kept), batch.lines])
            ledger.append(data, [*(line.entry for line in pending.kept), *batch.records])

        try:
            await self.in_ledger_lane(append)
        finally:  # of what failed on the way, the lines that fit are in the ledger
            written = ledger.totals.records - before
            self._on_recorded(recorded[:written])
        if ledger.disk_full is not None:
            self._end_run(ledger.disk_full)

    async def _unless_given_up(self, writing: asyncio.Future[None]) -> bool:
        """Wait for *writing*, or until the reader is given up; raises like *writing*.

        Returns whether *writing* came to its end.
        """
        writing.add_done_callback(_look_at)
        given_up = asyncio.ensure_future(self._reader_given_up.wait())
        try:
            await asyncio.wait((writing, given_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            given_up.cancel()
        if writing.done():
            writing.result()
        return writing.done()

    def _naming_the_ledger(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            if error.filename is None and self._path is not None:
                error.filename = str(self._path)
            raise

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(BATCH_S)
            if self._broken is None:
                self._start_writing()

    async def close(self) -> None:
        """Stop; what is pending is lost (call `flush` before). The ledger stays open."""
        for task in (self._ticker, self._writing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        # What the lanes were given goes on without us: nobody may use the ledger before it ended.
        await self._ledger_lane.submit(lambda: None)
        self._ledger_lane.close()
        await self._close_records()
        self._records_lane.close()

    async def _close_records(self) -> None:
        """Have the file closed where it is used: after a write that may still be going on."""
        if self._records is None:
            return
        closing = self._records_lane.submit(self._records.close)
        with suppress(OSError):
            await self._unless_given_up(closing)


class _Pending:
    """Records that wait to be written."""

    __slots__ = ("kept", "outcomes", "records")

    def __init__(self) -> None:
        self.kept: list[Line] = []
        """Of an earlier run."""
        self.outcomes: list[Outcome] = []
        self.records: list[Record] = []
        """Of the outcomes, one each."""

    def __len__(self) -> int:
        return len(self.kept) + len(self.records)


def _look_at(future: asyncio.Future[None]) -> None:
    """Take note of an error nobody waits for any more: asyncio would complain of it."""
    if not future.cancelled():
        future.exception()
