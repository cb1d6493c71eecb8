"""Writes what becomes of each line, in batches: bodies, then the ledger, then `--records`.

    put(outcomes) ─▶ pending ──(256 of them, or 100 ms)──▶ sink ─▶ ledger ──▶ --records
                                                           └─ one lane ─┘    another

A sink that appends writes the bodies of a batch in the lane of the ledger, before the ledger writes
their records: so the bodies in a container have the order of their records. A body that can't be
appended has no record.

While one batch is being written the next one gathers; when that is full, `put` waits: a slow disk
or a slow reader of `--records -` slows the fetching down and nothing piles up.

Outcomes are reported when they are written, and count only then: the figures shown are those of
the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fetchpool.output.ledger.record import Batch, Record, placed
from fetchpool.output.records import RecordsError
from fetchpool.run.lanes import Lane

if TYPE_CHECKING:
    from pathlib import Path

    from fetchpool.model.bodies import Sink
    from fetchpool.model.values import Outcome
    from fetchpool.output.ledger import Ledger
    from fetchpool.output.ledger.entries import Entry, Line
    from fetchpool.output.records import RecordsFile

Recorded: TypeAlias = "Outcome | Entry"
"""What a record was made of: an outcome of this run, or what an earlier run's record says."""

R = TypeVar("R")

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
        """Take over *records*, to be closed at the end; report to *on_recorded* what is written.

        That is what the ledger holds; without a ledger, what *records* took; without either, all.
        Records have the keys that all have, and those of *keys*.
        """
        self._keys = keys
        self._on_recorded = on_recorded
        self._ledger: Ledger | None = None
        self._sink: Sink | None = None
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
        """Why the run has to end although the ledger still takes records: `--records` can't be
        written (`OutputClosedError`: its reader has gone), or the disk is all but full."""

    def write_to(self, ledger: Ledger, path: Path, sink: Sink | None = None) -> None:
        """Write to *ledger* first, which users know as *path*; before it, the bodies to *sink*."""
        self._ledger = ledger
        self._path = path
        self._sink = sink if sink is not None and sink.appends else None

    def start(self, on_trouble: Callable[[], None]) -> None:
        """Begin to write what gathers; *on_trouble* is called once fetching must end."""
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
        self._pending.outcomes += outcomes
        await self._write_if_many()

    async def keep(self, line: Line) -> None:
        """Take the record of an earlier run, for the ledger only; raises like `put`."""
        self._pending.kept.append(line)
        await self._write_if_many()

    async def _write_if_many(self) -> None:
        count = len(self._pending)
        if count >= BATCH_LINES or (self._sink is not None and self._sink.behind):
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

    async def in_ledger_lane(self, call: Callable[[], R]) -> R:
        """Return what *call*, which uses the ledger, returns when it is run in the ledger's lane.

        An OSError that it raises names a file.
        """
        return await self._ledger_lane.submit(partial(self._naming_the_ledger, call))

    def end_run(self, why: BaseException) -> None:
        """Have the run end although the ledger takes records; `trouble` is *why* then."""
        if self.trouble is None:
            self.trouble = why
            self._on_trouble()

    def give_up_reader(self) -> None:
        """Stop waiting for the reader of `--records`: from now on only the ledger is written."""
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

    async def _write(self, pending: _Pending) -> None:
        if self._ledger is None:
            batch = self._batch(pending.outcomes)
        else:
            batch = await self._write_to_ledger(self._ledger, pending)
        if self._records is None or not batch.records:
            return
        if self._reader_given_up.is_set() or self._records_failed:
            return
        writing = self._records_lane.submit(partial(self._records.write, batch))
        written = 0
        try:
            if await self._unless_given_up(writing):
                written = len(batch.records)
        except RecordsError as error:
            written = error.written
            self._records_failed = True
            self.end_run(error)
        if self._ledger is None:
            self._on_recorded(pending.outcomes[:written])

    async def _write_to_ledger(self, ledger: Ledger, pending: _Pending) -> Batch:
        """Write *pending* to the sink and the ledger; return the records of its outcomes."""
        before = ledger.totals.records
        recorded: list[Recorded] = [line.entry for line in pending.kept]
        recorded += pending.outcomes

        def append() -> Batch:
            batch = self._batch(pending.outcomes)
            if self._sink is not None:
                self._sink.append(pending.outcomes, batch.records)
                receipts = (each.receipt for each in pending.outcomes)
                batch = Batch(list(map(placed, batch.records, receipts)))
            data = b"".join([*(line.raw for line in pending.kept), batch.lines])
            ledger.append(data, [*(line.entry for line in pending.kept), *batch.records])
            return batch

        try:
            batch = await self.in_ledger_lane(append)
        finally:  # if writing failed, the lines that fit are in the ledger
            written = ledger.totals.records - before
            self._on_recorded(recorded[:written])
        if ledger.disk_full is not None:
            self.end_run(ledger.disk_full)
        return batch

    def _batch(self, outcomes: Sequence[Outcome]) -> Batch:
        return Batch([Record.of(each, self._keys) for each in outcomes])

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

    def _naming_the_ledger(self, call: Callable[[], R]) -> R:
        try:
            return call()
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
        # A lane finishes what it was given: nobody may use the ledger before that.
        await self._ledger_lane.submit(lambda: None)
        self._ledger_lane.close()
        await self._close_records()
        self._records_lane.close()

    async def _close_records(self) -> None:
        """Close the file in its lane, after a write that may still be going on."""
        if self._records is None:
            return
        closing = self._records_lane.submit(self._records.close)
        with suppress(OSError):
            await self._unless_given_up(closing)


class _Pending:
    """What waits to be written."""

    __slots__ = ("kept", "outcomes")

    def __init__(self) -> None:
        self.kept: list[Line] = []
        """Records of an earlier run."""
        self.outcomes: list[Outcome] = []

    def __len__(self) -> int:
        return len(self.kept) + len(self.outcomes)


def _look_at(future: asyncio.Future[None]) -> None:
    """Retrieve an error that nobody waits for any more: asyncio would report it otherwise."""
    if not future.cancelled():
        future.exception()
