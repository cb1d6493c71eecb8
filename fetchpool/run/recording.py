"""Records outcomes in one ledger and in `--records`, whatever ends the run.

fetcher.batch() ─▶ Recorder ─▶ Recording ─▶ Journal ─▶ ledger, --records ─▶ Counting
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from tempfile import gettempdir
from typing import TYPE_CHECKING

from fetchpool.model.bodies import StoreError
from fetchpool.output.export import Dialect, Table
from fetchpool.output.ledger.record import expected_keys
from fetchpool.output.records import RecordsError, RecordsFile, WholeRecords, open_records
from fetchpool.output.shards.handover import write_handover
from fetchpool.run.choices import opened
from fetchpool.run.journal import Journal
from fetchpool.run.trouble import OurTrouble, Trouble, trouble_of

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome, Request
    from fetchpool.output.ledger import Ledger
    from fetchpool.output.ledger.entries import Line
    from fetchpool.run.call import Call
    from fetchpool.run.counting import Counting
    from fetchpool.run.intake import Remaining
    from fetchpool.run.output import Output
    from fetchpool.run.publishing import Publishing
    from fetchpool.run.telling import Telling


class Recording:
    """Writes down what becomes of each line; `trouble` is why it can't, if it can't."""

    def __init__(
        self,
        call: Call,
        output: Output | None,
        remaining: Remaining,
        telling: Telling,
        counting: Counting,
        is_own: Callable[[Request], bool] | None = None,
    ) -> None:
        """Open what `--records` names; raises `OutputError`.

        What is recorded is told to *counting*. *is_own* tells which requests of the list have their
        record here, where not all have.
        """
        self._is_own = is_own
        self._call = call
        self._output = output
        self._remaining = remaining
        self._telling = telling
        keys = expected_keys(call.config, several=call.lists.named)
        records = _opened(call, keys, has_ledger=output is not None)
        self._copy = records if isinstance(records, WholeRecords) else None
        self.ledger = call.ledger
        """Where records are, if anywhere."""
        self._counting = counting
        self.journal = Journal(
            records if isinstance(records, RecordsFile) else None,
            counting.recorded,
            keys,
        )
        self._ledger: Ledger | None = None
        self._publishing: Publishing | None = None
        self._total_is_told = False
        self.trouble: Trouble | None = None
        self._knows_all = True  # what the list has: no sitemap of an index is missing
        self.left = 0
        """URLs that the list has no more, as far as the run compares with the one before."""

    async def settle(self) -> None:
        """Make the ledger of an earlier run today's, and pass over what it answered.

        Raises what `Output.settle` does.
        """
        path = self._call.ledger
        if self._output is None or path is None:
            return
        settled = await self._output.settle(self._read_list)
        self._remaining.claims = self._output.claims
        self._remaining.baseline = settled.baseline
        in_place = settled.waiting is not None and settled.waiting.in_place
        keep = self._count_kept if in_place else self.journal.keep
        self._remaining.set_aside(settled.done, settled.waiting, keep, offset=settled.offset)
        for label, count in settled.kept.failed.items():
            self._counting.kept(ok=False, label=label, count=count)
        self._counting.kept(ok=True, count=settled.kept.ok)
        self._counting.changes_kept(settled.kept.changes)
        self._ledger = settled.ledger
        if self._output.remote is not None:
            from fetchpool.run.publishing import Publishing

            self._publishing = Publishing(self._output.remote, self.journal.end_run)
        self.journal.write_to(settled.ledger, path, self._output.sink)

    @property
    def begins_anew(self) -> bool:
        """Whether this command keeps nothing of an earlier run."""
        return self._output is None or self._output.directory.begins_anew

    def start(self, on_trouble: Callable[[], None]) -> None:
        """Begin to write what gathers; *on_trouble* is called once fetching must end."""
        self.journal.start(on_trouble)
        if self._publishing is not None:
            self._publishing.start()

    async def record(self, outcomes: list[Outcome]) -> None:
        """Have *outcomes* recorded. Raises `OurTrouble`."""
        if self._remaining.ended and self._ledger is not None and not self._total_is_told:
            self._total_is_told = True
            await self._in_ledger_lane(self._ledger.expect)
        if self._call.lists.fetched.any_asked:
            outcomes = self._recorded(outcomes)
        for outcome in outcomes:
            if not outcome.ok:
                self._telling.failed(outcome)
        await self.journal.put(outcomes)

    async def flush(self) -> None:
        """Write all that was to be recorded, and note what is in the way."""
        try:
            await self.journal.flush()
        except OurTrouble as error:
            self.note(error)
        if self.journal.trouble is not None:
            self.note(self.journal.trouble)

    async def rescue(self) -> None:
        """Write all that was to be recorded: the program is being left."""
        with suppress(*OurTrouble):
            await self.journal.flush()
            await self._close_ledger(complete=False)
        with suppress(RecordsError):
            await self._write_copy()

    async def close(self, *, complete: bool) -> None:
        """Close the ledger, finished if *complete*, and write the file of `--records`."""
        try:
            if complete and self._output is not None and self._knows_all:
                self.left = await asyncio.to_thread(self._output.directory.note_left)
            await self._close_ledger(complete=complete)
        except OurTrouble as error:
            self.note(error)
        try:
            await self._write_copy()
        except RecordsError as error:
            self.note(error)

    async def remove_leftovers(self, *, goes_on: bool) -> None:
        """Delete what no record names, such as what workers left that died.

        With *goes_on*, bodies that a later run may resume stay. What can't be deleted is by a later
        run; that a container can't be completed is noted as trouble.
        """
        if self._output is None:
            return
        await self.stop_publishing()  # it takes containers away
        try:
            await self._output.recover(goes_on=goes_on, at_end=True)
        except (StoreError, OSError) as error:
            if self._output.sink.appends:
                self.note(error)
                assert self.trouble is not None
                remedy = "Every body is kept: the same command with --once completes it."
                self.trouble = self.trouble._replace(stopped_by=None, remedy=remedy)

    async def finish_remote(self, *, complete: bool) -> None:
        """Send up what isn't in the object store yet, where DEST is in one.

        Not after trouble with that store, which was tried long enough.
        """
        if self._publishing is None or self._output is None:
            return
        await self._publishing.stop()
        if self.trouble is not None and self.trouble.is_remote:
            return
        try:
            await asyncio.to_thread(self._output.finish_remote, complete=complete)
        except OurTrouble as error:
            self.note(error)

    async def stop_publishing(self) -> None:
        """Send nothing more up; may be called again."""
        if self._publishing is not None:
            await self._publishing.stop()

    async def list_handed_over(self) -> None:
        """List the redirects that another shard is to follow, where they are handed over."""
        output = self._output
        if output is None or not self._call.config.hand_over:
            return
        fsync = self._call.config.durability != "none"
        try:
            await asyncio.to_thread(write_handover, output.layout, fsync=fsync)
        except OSError as error:
            self.note(error)

    async def prune(self) -> int:
        """Move away the bodies of URLs that have left the list; return how many."""
        if self._output is None or not self._call.config.prune or not self._knows_all:
            return 0
        return await asyncio.to_thread(self._output.prune)

    def give_up(self) -> None:
        """Wait for no reader of records, and for no object store."""
        self.journal.give_up_reader()
        if self._output is not None:
            self._output.give_up()

    def _recorded(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Return those of *outcomes* that get a record; sitemaps go to who reads them.

        One that can't be had, or read, has one: what it names is not in the list.
        """
        recorded = []
        for outcome in outcomes:
            request = outcome.request
            if request.is_sitemap:
                path = outcome.path if outcome.ok else None
                self._call.lists.fetched.give(request.url, path)
                if outcome.ok:
                    self._remaining.take_back()
                    continue
                self._knows_all = False
            recorded.append(outcome)
        return recorded

    async def _in_ledger_lane(self, tell: Callable[[int, int, int], object]) -> None:
        """Tell the ledger how many records the list brings, and how many lines it has."""
        remaining = self._remaining
        requests = remaining.requests - remaining.answered_before
        counts = requests, remaining.lines, self._call.lists.without_request
        await self.journal.in_ledger_lane(partial(tell, *counts))

    async def _close_ledger(self, *, complete: bool) -> None:
        if self._ledger is None:
            return
        try:
            if complete:
                await self._in_ledger_lane(self._ledger.finish)
            elif self._remaining.ended and not self._total_is_told:  # no URL has an outcome
                with suppress(OSError):  # only `status` would know what is left
                    await self._in_ledger_lane(self._ledger.expect)
        finally:
            await self.journal.in_ledger_lane(self._ledger.close)

    async def _write_copy(self) -> None:
        if self._copy is not None and self._call.ledger is not None:
            await asyncio.to_thread(self._copy.write, self._call.ledger)

    async def _count_kept(self, line: Line) -> None:
        """Count an answer of an earlier run that is in the ledger already."""
        self._counting.recorded((line.entry,))

    def _read_list(self) -> Iterator[Request]:
        requests = (request for batch in self._call.lists.batches() for request in batch.requests)
        if self._is_own is None:
            return requests
        return filter(self._is_own, requests)

    def note(self, error: BaseException) -> None:
        """Note what ended the run early, if nothing did before."""
        if self.trouble is None:
            where = None if self._output is None else self._output.spill_directory
            self.trouble = trouble_of(error, where or gettempdir())


def record_nothing(call: Call) -> None:
    """Leave no record in `--records`: what an earlier run left there is not today's."""
    keys = expected_keys(call.config, several=call.lists.named)
    records = _opened(call, keys, has_ledger=call.dest is not None)
    if isinstance(records, WholeRecords):
        records.write(None)
    elif records is not None:
        records.make_anew()
        records.close()


def _opened(
    call: Call, keys: Collection[str], *, has_ledger: bool
) -> RecordsFile | WholeRecords | None:
    # A sheet goes in and a sheet comes out, in its own dialect.
    table = Table(keys, dialect=Dialect.of(call.lists.sheet))
    opener = partial(open_records, call.config, table, has_ledger=has_ledger)
    return opened("--records", call.config.records, opener)
