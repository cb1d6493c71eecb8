"""Records on their way out: first the ledger, then `--records`, and nobody waits for one who died.

What writes is a double, whose writes wait where a test holds them; records are known by their
numbers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fetchpool.model.bodies import Sink, StoreError
from fetchpool.model.values import Outcome, Request
from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.entries import Entry, Line, read_entry
from fetchpool.output.ledger.record import Batch
from fetchpool.output.records import OutputClosedError, RecordsError
from fetchpool.run import journal as module
from fetchpool.run.journal import BATCH_LINES, MOST_PENDING, Journal, Recorded
from tests.ledger.runs import outcome


class Ledger:
    """Takes lines; some trouble where the test says so."""

    def __init__(self, log: list[tuple[str, list[int]]]) -> None:
        self.log = log
        self.totals = SimpleNamespace(records=0)
        self.disk_full: OSError | None = None
        self.fails_after: int | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.writing = threading.Event()

    def append(self, data: bytes, entries: Sequence[Entry | Record]) -> None:
        self.writing.set()
        assert self.go_on.wait(20)
        numbers = [entry.seq for entry in entries]
        assert [read_entry(line).seq for line in data.splitlines()] == numbers  # type: ignore[union-attr]
        fit = numbers if self.fails_after is None else numbers[: self.fails_after]
        self.totals.records += len(fit)
        self.log.append(("ledger", fit))
        if self.fails_after is not None:
            raise OSError(28, "No space left on device")


class Containers(Sink):
    """Takes bodies; trouble where the test says so."""

    appends = True
    behind = False

    def __init__(self, log: list[tuple[str, list[int]]]) -> None:
        self.log = log
        self.error: StoreError | None = None

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        if self.error is not None:
            raise self.error
        self.log.append(("sink", [each.request.seq for each in outcomes]))


class Records:
    """Takes records; the test says what goes wrong."""

    def __init__(self, log: list[tuple[str, list[int]]]) -> None:
        self.log = log
        self.error: Exception | None = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.is_anew = self.closed = False

    def make_anew(self) -> None:
        self.is_anew = True

    def write(self, batch: Batch) -> None:
        assert self.go_on.wait(20)
        self.log.append(("records", [record.seq for record in batch.records]))
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed = True


class Desk:
    """A journal with everything it tells and writes; nothing is written by the clock."""

    def __init__(
        self, *, has_ledger: bool = True, has_records: bool = True, has_sink: bool = False
    ) -> None:
        self.log: list[tuple[str, list[int]]] = []
        self.told: list[int] = []
        self.troubles = 0
        self._closed = False
        self.ledger = Ledger(self.log)
        self.records = Records(self.log) if has_records else None
        self.journal = Journal(self.records, self._recorded)  # type: ignore[arg-type]
        self.sink = Containers(self.log)  # type: ignore[abstract]
        if has_ledger:
            ledger: Any = self.ledger
            self.journal.write_to(ledger, Path("the/ledger"), self.sink if has_sink else None)

    def start(self) -> Desk:
        self.journal.start(self._trouble)
        return self

    async def put(self, first: int, count: int = 1) -> None:
        """Bring outcomes with the numbers from *first* on."""
        await self.journal.put([answered(first + n) for n in range(count)])

    async def keep(self, number: int) -> None:
        """Bring a record of an earlier run."""
        raw = encode(Record.of(answered(number)))
        entry = read_entry(raw)
        assert entry is not None
        await self.journal.keep(Line(raw, entry))

    async def close(self) -> None:
        """Close the journal, once."""
        if not self._closed:
            self._closed = True
            await self.journal.close()

    def _recorded(self, recorded: Sequence[Recorded]) -> None:
        for each in recorded:
            self.told.append(each.request.seq if isinstance(each, Outcome) else each.seq)

    def _trouble(self) -> None:
        self.troubles += 1


def answered(number: int) -> Outcome:
    return outcome(Request(f"http://h/{number}", number))


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_S", 10_000.0)


@pytest.fixture(params=[{}], ids=[""])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    there = Desk(**request.param)
    there.start()
    async with asyncio.timeout(20):
        yield there
        there.ledger.go_on.set()
        await there.close()
    if there.records is not None:
        there.records.go_on.set()


without_ledger = pytest.mark.parametrize("desk", [{"has_ledger": False}], indirect=True)


async def test_ledger_is_first_and_what_was_kept_goes_there_alone_and_ahead(desk: Desk) -> None:
    await desk.put(1, 2)
    await desk.keep(7)
    assert desk.told == []
    await desk.journal.flush()
    assert desk.log == [("ledger", [7, 1, 2]), ("records", [1, 2])]
    assert desk.told == [7, 1, 2]
    await desk.keep(8)
    await desk.journal.flush()
    assert desk.log[2:] == [("ledger", [8])]


appending = pytest.mark.parametrize("desk", [{"has_sink": True}], indirect=True)


@appending
async def test_sink_appends_what_is_fetched_before_the_ledger_speaks_of_it(desk: Desk) -> None:
    await desk.put(1, 2)
    await desk.keep(7)
    await desk.journal.flush()
    assert desk.log == [("sink", [1, 2]), ("ledger", [7, 1, 2]), ("records", [1, 2])]


@appending
async def test_what_cannot_be_appended_has_no_record_and_nothing_comes_after_it(desk: Desk) -> None:
    desk.sink.error = StoreError("cannot append to", "a", 28)
    await desk.put(1, 2)
    with pytest.raises(StoreError, match="cannot append to a"):
        await desk.journal.flush()
    assert (desk.log, desk.told, desk.troubles) == ([], [], 1)
    desk.sink.error = None
    with pytest.raises(StoreError):
        await desk.put(3, BATCH_LINES)
    assert desk.log == []


@appending
async def test_batch_is_written_at_once_for_a_sink_that_is_behind(desk: Desk) -> None:
    desk.sink.behind = True
    await desk.put(1)
    await asyncio.to_thread(desk.ledger.writing.wait, 20)
    assert desk.ledger.writing.is_set()


async def test_batch_is_written_when_it_is_full(desk: Desk) -> None:
    await desk.put(1, BATCH_LINES - 1)
    await asyncio.sleep(0)
    assert not desk.ledger.writing.is_set()
    await desk.keep(BATCH_LINES)
    await asyncio.to_thread(desk.ledger.writing.wait, 20)
    assert desk.ledger.writing.is_set()


async def test_batch_is_written_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_S", 0.0)
    desk = Desk(has_records=False).start()
    await desk.put(1)
    await asyncio.to_thread(desk.ledger.writing.wait, 20)
    assert desk.ledger.writing.is_set()
    await desk.close()


async def test_more_gathers_while_one_batch_is_written_and_then_who_brings_it_waits(
    desk: Desk,
) -> None:
    desk.ledger.go_on.clear()
    await desk.put(1, BATCH_LINES)
    await desk.put(BATCH_LINES + 1, MOST_PENDING - 1)  # waits for nobody
    last = asyncio.create_task(desk.put(BATCH_LINES + MOST_PENDING))
    await asyncio.to_thread(desk.ledger.writing.wait, 20)
    assert not last.done()
    desk.ledger.go_on.set()
    await last
    await desk.journal.flush()
    everything = range(1, BATCH_LINES + MOST_PENDING + 1)
    assert [line for to, wrote in desk.log if to == "ledger" for line in wrote] == [*everything]
    assert desk.told == [*everything]


async def test_ledger_that_fails_ends_everything_and_what_fitted_counts(desk: Desk) -> None:
    desk.ledger.fails_after = 2
    await desk.put(1, 3)
    with pytest.raises(OSError, match="No space left on device: 'the/ledger'"):
        await desk.journal.flush()
    assert desk.told == [1, 2]
    assert desk.log == [("ledger", [1, 2])], "others have nothing that the ledger has not"
    assert desk.troubles == 1
    with pytest.raises(OSError, match="No space"):
        await desk.put(4, BATCH_LINES)


async def test_disk_that_is_all_but_full_ends_the_run_and_is_told_once(desk: Desk) -> None:
    desk.ledger.disk_full = full = OSError(28, "full")
    for number in (1, 2):
        await desk.put(number)
        await desk.journal.flush()
    assert desk.journal.trouble is full
    assert desk.troubles == 1
    assert desk.told == [1, 2]
    assert desk.log[-1] == ("records", [2])


@pytest.mark.parametrize(
    "error", [OutputClosedError("closed", 1), RecordsError("no more", 1)], ids=repr
)
@pytest.mark.parametrize("desk", [{}, {"has_ledger": False}], indirect=True, ids=["ledger", "none"])
async def test_reader_that_has_gone_ends_the_run_and_is_written_to_no_more(
    desk: Desk, error: Exception
) -> None:
    assert desk.records is not None
    desk.records.error = error
    await desk.put(1, 2)
    await desk.journal.flush()
    assert desk.journal.trouble is error
    assert desk.troubles == 1
    await desk.put(3)
    await desk.journal.flush()
    assert [wrote for to, wrote in desk.log if to == "records"] == [[1, 2]]
    assert desk.told == ([1, 2, 3] if desk.journal._ledger is not None else [1])


@without_ledger
async def test_without_a_ledger_what_the_reader_took_counts(desk: Desk) -> None:
    await desk.put(1, 2)
    await desk.journal.flush()
    assert desk.log == [("records", [1, 2])]
    assert desk.told == [1, 2]


@without_ledger
async def test_reader_that_is_given_up_is_waited_for_by_nobody(desk: Desk) -> None:
    assert desk.records is not None
    desk.records.go_on.clear()
    await desk.put(1)
    flushing = asyncio.create_task(desk.journal.flush())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not flushing.done()
    desk.journal.give_up_reader()
    await flushing
    assert desk.told == [], "it may have come to nothing"
    await desk.put(2)
    await desk.journal.flush()
    await desk.close()
    assert desk.journal.trouble is None
    assert not desk.records.closed, "it is used still"


async def test_close_waits_for_the_ledger_and_drops_what_was_not_begun(desk: Desk) -> None:
    desk.ledger.go_on.clear()
    await desk.put(1, BATCH_LINES)
    await desk.put(9_000)
    await asyncio.to_thread(desk.ledger.writing.wait, 20)
    closing = asyncio.create_task(desk.close())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not closing.done()
    desk.ledger.go_on.set()
    await closing
    assert desk.log == [("ledger", [*range(1, BATCH_LINES + 1)])]
    assert desk.records is not None
    assert desk.records.closed


async def test_calls_that_use_the_ledger_run_after_what_it_was_given(desk: Desk) -> None:
    seen: list[tuple[str, list[int]]] = []
    await desk.put(1, BATCH_LINES)
    await asyncio.sleep(0)
    await desk.journal.in_ledger_lane(lambda: seen.extend(desk.log))
    assert seen[0][0] == "ledger"

    def fail() -> None:
        raise OSError(5, "bad", "other/file")

    with pytest.raises(OSError, match="'other/file'"):
        await desk.journal.in_ledger_lane(fail)


@pytest.mark.parametrize(
    ("has_ledger", "has_records"), [(False, False), (True, False), (False, True)]
)
async def test_a_file_of_records_is_made_anew_when_the_run_starts(
    has_ledger: bool, has_records: bool
) -> None:
    desk = Desk(has_ledger=has_ledger, has_records=has_records)
    assert desk.records is None or not desk.records.is_anew
    desk.start()
    assert desk.records is None or desk.records.is_anew
    await desk.close()
