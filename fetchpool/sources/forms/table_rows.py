"""The rows of a table, as the csv module reads them, a block of lines at a time.

A row is known by the line on which it begins. The csv module parses whole blocks of lines; a line
put behind them tells whether the last row goes on in the next block.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fetchpool.sources.head import LINES, Head
from fetchpool.sources.lines import Stretch

_END = "\0\n"
"""A line that is put behind a block."""


class Row(msgspec.Struct, gc=False):
    """A row of a block."""

    line: int
    """On which it begins, from 0."""
    cells: list[str] | None
    """None for one that can't be read."""
    problem: str = ""


class Split(NamedTuple):
    """How the lines of a head fall into cells by one delimiter."""

    delimiter: str
    rows: list[Row]
    width: int
    """Cells that most rows have."""
    is_even: bool
    """Whether 90 % of the rows have them."""

    @property
    def cells(self) -> list[list[str]]:
        """The rows that are of that width."""
        return [row.cells for row in self.rows if row.cells and len(row.cells) == self.width]


def cut(head: Head, delimiter: str) -> Split | None:
    """Return how *head* falls into rows by *delimiter*; None if it has none."""
    rows, _ = parse(head.text.removesuffix("\n"), delimiter, last=head.whole)
    rows = [row for row in rows if row.cells is None or not is_skipped(row.cells)][:LINES]
    widths = [len(row.cells) for row in rows if row.cells is not None]
    if not widths:
        return None
    width = max(set(widths), key=widths.count)
    return Split(delimiter, rows, width, width > 1 and widths.count(width) * 10 >= len(rows) * 9)


def is_skipped(cells: Sequence[str]) -> bool:
    """Tell whether a row is blank, or a comment."""
    return not cells or (cells[0][:1] == "#") or not any(map(str.strip, cells))


def parse(text: str, delimiter: str, *, last: bool, width: int = 0) -> tuple[list[Row], int | None]:
    """Return the rows in *text*, whole lines, and the line of a row that goes on behind it.

    With *last* nothing is behind it. A row that can't be read costs its first line: the next one is
    looked for below. So does one of several lines that isn't *width* cells wide (0: whatever it
    is), as a quote that is never closed makes it.
    """
    if (each := _one_a_line(text, delimiter)) is not None:
        return list(map(Row, range(len(each)), each)), None
    rows: list[Row] = []
    lines = text.count("\n") + 1
    at = 0  # the line from which the reader reads
    left = text
    while True:
        reader = csv.reader(io.StringIO(f"{left}\n{_END}", newline="\n"), delimiter=delimiter)
        start, problem = 0, ""
        try:
            for cells in reader:
                end = reader.line_num
                if end - start > 1 and at + end <= lines and len(cells) != (width or len(cells)):
                    problem = "a quote in the row is not closed on its line"
                    break
                if at + end > lines:
                    if at + start == lines:
                        return rows, None
                    if not last:
                        return rows, at + start
                    problem = "a quote in the row is never closed"
                    break
                rows.append(Row(at + start, cells))
                start = end
        except csv.Error as error:
            problem = f"the row can't be read: {error}"
        rows.append(Row(at + start, None, problem))
        left = left.split("\n", start + 1)[-1] if left.count("\n") > start else ""
        at += start + 1
        if at >= lines:
            return rows, None


def _one_a_line(text: str, delimiter: str) -> list[list[str]] | None:
    """Return the cells of each line of *text*; None unless each line is a row of its own."""
    try:
        rows = list(csv.reader(io.StringIO(f"{text}\n{_END}", newline="\n"), delimiter=delimiter))
    except csv.Error:
        return None
    rows.pop()
    return rows if len(rows) == text.count("\n") + 1 else None  # a row has one line at least


def text_of(piece: Stretch) -> str:
    """Return the lines of *piece* as text; bytes that are no UTF-8 as surrogates."""
    return piece.data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
