"""What of a list is still to be fetched: each request is passed over, kept, or handed on."""

from __future__ import annotations

import pytest

from fetchpool.model.values import Request
from fetchpool.output.ledger import Bitmap
from fetchpool.run.intake import Remaining
from fetchpool.sources import Batch


class Reader:
    """Gives the batches that a test has made."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = list(batches)
        self.closed = False

    async def next_batch(self) -> Batch | None:
        return self.batches.pop(0) if self.batches else None

    async def aclose(self) -> None:
        self.closed = True


class Waiting:
    """Has a record for some numbers, and takes note of what it is asked for."""

    def __init__(self, *numbers: int, in_place: bool = False) -> None:
        self.numbers = set(numbers)
        self.in_place = in_place
        self.asked: list[tuple[int, str, str | None, int | None]] = []

    def __len__(self) -> int:
        return len(self.numbers)

    def kept_for(
        self, seq: int, url: str, source: str | None, line: int | None, *, variant: str
    ) -> tuple[int, str] | None:
        assert not variant, "a plain GET"
        self.asked.append((seq, url, source, line))
        if seq not in self.numbers:
            return None
        self.numbers.discard(seq)
        return seq, "its record"


def batch(*numbers: int, skipped: int = 0, lines: int = 0) -> Batch:
    return Batch([Request(f"http://h/{n}", n, "list", 10 * n) for n in numbers], skipped, lines)


def bitmap(*numbers: int) -> Bitmap:
    done = Bitmap()
    done.add_all(numbers)
    return done


async def rest(remaining: Remaining) -> list[int]:
    """Return the numbers of all that is still to be fetched."""
    numbers: list[int] = []
    while (found := await remaining.next_batch()) is not None:
        numbers += [request.seq for request in found.requests]
    return numbers


async def test_first_request_is_found_behind_comments_and_stays_to_be_read() -> None:
    reader = Reader(batch(skipped=2, lines=2), batch(1, 2, skipped=1, lines=5), batch(3, lines=6))
    remaining = Remaining(reader)
    assert await remaining.find_first()
    assert (remaining.skipped, remaining.requests, remaining.ended) == (3, 0, False)
    assert await remaining.next_batch() == batch(1, 2, skipped=3, lines=5)
    assert await remaining.next_batch() == batch(3, lines=6)
    assert (remaining.requests, remaining.lines, remaining.ended) == (3, 6, False)
    assert await remaining.next_batch() is None
    assert remaining.ended


async def test_list_of_comments_has_no_first_request() -> None:
    remaining = Remaining(Reader(batch(skipped=2), batch(skipped=5)))
    assert not await remaining.find_first()
    assert remaining.skipped == 7


async def test_lines_that_are_done_are_passed_over_and_counted() -> None:
    reader = Reader(batch(1, 2, 3, skipped=4, lines=7), batch(4))
    remaining = Remaining(reader, bitmap(1, 3, 4))
    assert await remaining.next_batch() == batch(2, skipped=4, lines=7)
    assert await rest(remaining) == []
    assert (remaining.requests, remaining.answered_before) == (4, 0)


@pytest.mark.parametrize("in_place", [False, True])
async def test_line_that_a_record_waits_for_gets_that_record(in_place: bool) -> None:
    kept: list[tuple[int, str]] = []

    async def keep(line: tuple[int, str]) -> None:
        kept.append(line)

    waiting = Waiting(2, 4, in_place=in_place)
    remaining = Remaining(Reader(batch(1, 2, 3), batch(4), batch(5)), None, waiting, keep)  # type: ignore[arg-type]
    assert await rest(remaining) == [1, 3, 5]
    assert kept == [(2, "its record"), (4, "its record")]
    assert remaining.answered_before == (2 if in_place else 0), "those get no record"
    assert remaining.requests == 5
    assert waiting.asked == [(n, f"http://h/{n}", "list", 10 * n) for n in range(1, 5)], (
        "once none waits any more nobody looks"
    )


async def test_list_that_is_added_is_numbered_behind_the_others() -> None:
    kept: list[tuple[int, str]] = []

    async def keep(line: tuple[int, str]) -> None:
        kept.append(line)

    remaining = Remaining(Reader(batch(1, 2), batch(1, 2, 3)), bitmap(1))
    assert await remaining.find_first()
    waiting = Waiting(101)
    remaining.set_aside(None, waiting, keep, offset=100)  # type: ignore[arg-type]
    found = await remaining.next_batch()
    assert found is not None
    assert [(each.seq, each.line) for each in found.requests] == [(102, 20)]
    assert kept == [(101, "its record")]
    assert [(seq, line) for seq, _, _, line in waiting.asked] == [(101, 10), (102, 20)]
    remaining.set_aside(bitmap(2, 103), None, None, offset=100)
    assert await rest(remaining) == [101, 102], "numbers are looked up as they are recorded"


async def test_to_stop_reading_is_to_stop_the_reader() -> None:
    reader = Reader()
    await Remaining(reader).aclose()
    assert reader.closed
