"""Tables: CSV, TSV, and with `;` or `|` between the cells: which they are, and their requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import repeat, starmap
from operator import itemgetter

from fetchpool.model.reading import Reading
from fetchpool.model.values import Request
from fetchpool.sources.columns import (
    MOST_COLUMNS,
    Columns,
    bare_hosts,
    find_candidates,
    holds_urls,
    is_url,
    named_columns,
    quoted,
    settle,
    why_several,
)
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.forms.table_rows import Row, Split, cut, is_skipped, parse, text_of
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, BLANKS, Batch, Origin, stretches
from fetchpool.sources.making import MAX_ROW, Maker, given_by, row_of, rows_of, struct_of

SPREADSHEETS = ",;"
"""What spreadsheets write between the cells of a table."""
BOM = b"\xef\xbb\xbf"
DELIMITERS = {"tsv": "\t", "csv": ";,|"}
_LIKE_URL = re.compile(r"[/=&?%]|\.[A-Za-z]\w{0,4}\Z")


def find(head: Head, reading: Reading, kind: str, *, asked: bool) -> Form | None:
    """Return the table that *head* begins: of *kind* csv or tsv; None if it isn't one.

    *asked*: it is one, as the user says. Raises `InputError` where its column of URLs is unclear.
    """
    delimiters = [each for each in DELIMITERS[kind] if each in head.text]
    splits = [split for each in delimiters if (split := cut(head, each)) and split.width > 1]
    even = [split for split in splits if split.is_even]
    if asked:
        alone = cut(head, DELIMITERS[kind][0])  # of one column
        even += [split for split in (*splits, alone) if split is not None and split not in even]
    missing: InputError | None = None
    for split in even:
        try:
            if found := _table(split, head, reading, asked=asked):
                return found
        except InputError as error:
            if not reading.names_columns:
                raise
            missing = missing or error  # by another delimiter its column may be there
    if missing is not None:
        raise missing
    if not asked or not even:  # nothing but comments yet
        return None
    raise InputError(
        f"{head.name}: no column of the table holds URLs in most of its rows; say which with "
        "--column url=NAME",
        head.samples(),
    )


def hint(head: Head) -> str | None:
    """Return why *head*, of no form that is known, is a table of which nothing can be fetched."""
    for delimiter in "\t;,|":
        split = cut(head, delimiter) if delimiter in head.text else None
        if split is None or not split.is_even:
            continue
        names = named_columns(split.cells[0])
        below = split.cells[1:] or split.cells
        has_header = not any(map(holds_urls, split.cells[0]))
        for at in range(split.width):
            why = why_several(below, at, names if has_header else None, delimiter)
            if why is not None:
                return why
        hosts = bare_hosts(below, split.width)
        if hosts:
            return (
                f"a table with bare hosts in column {quoted(names[hosts[0]])}; "
                "--default-scheme https makes URLs of them"
            )
        return (
            f"a table of {split.width} columns, none of which holds URLs in most of its rows; "
            "--column url=NAME says which to take, --base URL makes URLs of paths, "
            "--input-format lines takes each line as it is"
        )
    return None


def _table(split: Split, head: Head, reading: Reading, *, asked: bool) -> Form | None:
    rows, width = split.cells, split.width
    if width > MOST_COLUMNS:
        raise InputError(f"{head.name}: a table of {width:,} columns; {MOST_COLUMNS:,} at most")
    first = rows[0]
    candidates = find_candidates(rows, width, reading)
    has_header = _is_header(first, candidates, reading, split)
    below = rows[1:] if has_header else rows
    above = None if has_header else _header_above(head, split)
    names = named_columns(first if has_header else above or [""] * width)
    candidates = find_candidates(below, width, reading)
    if not has_header and candidates and not asked and reading.column("url") is None:
        belongs = _comma_belongs_to_url(below, candidates, split, head)
        if belongs:
            return None
    has_names = has_header or above is not None
    columns = settle(names, candidates, reading, head, has_names=has_names)
    if columns is None:
        return None
    if reading.column("url") is None:
        why = why_several(below, columns.url, names if has_names else None, split.delimiter)
        if why is not None:
            raise InputError(f"{head.name}: {why}", head.samples())
    header = split.rows[0].line + 1 if has_header else 0
    table = Table(split.delimiter, columns, reading, header, has_names=has_names)
    if split.delimiter in SPREADSHEETS:
        table.sheet = (split.delimiter, head.data.startswith(BOM))
    return table


def _is_header(
    first: Sequence[str], candidates: Sequence[int], reading: Reading, split: Split
) -> bool:
    """Tell whether the first row names the columns: no cell of it is a URL, nor what is as good."""
    if any(is_url(cell) for cell in first):
        return False
    alone = find_candidates([list(first)], split.width, reading)
    return not set(alone) & set(candidates)


def _header_above(head: Head, split: Split) -> list[str] | None:
    """Return the header that stands in a comment right above the first row."""
    above = head.text.split("\n")[split.rows[0].line - 1] if split.rows[0].line else ""
    if not above.startswith("#"):
        return None
    cells = above.lstrip("#").strip(BLANKS).split(split.delimiter)
    return cells if len(cells) == split.width and not any(map(is_url, cells)) else None


def _comma_belongs_to_url(
    rows: Sequence[Sequence[str]], candidates: Sequence[int], split: Split, head: Head
) -> bool:
    """Tell whether what looks like rows, the URL first, are URLs with *delimiter* in them.

    Raises `InputError` where it can't be told: a row that is requested whole tells its server what
    the other cells hold.
    """
    if split.delimiter == "\t" or 0 not in candidates or len(candidates) > 1:
        return False
    others = [[cell for cell in row[1:] if cell.strip(BLANKS)] for row in rows]
    half = len(rows) / 2
    if sum(any(" " in cell or "@" in cell or '"' in cell for cell in row) for row in others) > half:
        return False
    if '"' in head.text and sum(line.text.count('"') >= 2 for line in head.lines) > half:
        return False
    like_urls = sum(
        "?" in row[0] or any(map(_LIKE_URL.search, other))
        for row, other in zip(rows, others, strict=True)
    )
    if like_urls * 2 > len(rows) or not any(others):
        return True
    raise _unclear(head, split)


def _unclear(head: Head, split: Split) -> InputError:
    return InputError(
        f"{head.name}: each line is a URL, or a row whose first cell is one ({split.width} cells "
        f"by {split.delimiter!r}); --input-format csv says that they are rows, --input-format "
        "lines that they are URLs",
        head.samples(),
    )


class Table(Form):
    """A list that is a table."""

    def __init__(
        self, delimiter: str, columns: Columns, reading: Reading, header: int, *, has_names: bool
    ) -> None:
        """*header* is the line of the header, from 1; 0: it has none."""
        self._delimiter = delimiter
        self._columns = columns
        self._reading = reading
        self._header = header
        width = len(columns.names)
        kind = "table" if header else "table without a header"
        name = quoted(columns.names[columns.url]) if has_names else f"column {columns.url + 1}"
        self.title = f"{kind}, {width} column{'s' if width > 1 else ''}, URLs from {name}"
        self.mark = f"table {delimiter} {header} {columns.mark}"

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        """Yield the requests of the rows; a batch never waits for more than was read."""
        make = _RowMaker(self._columns, Maker(origin, self._reading))
        first = origin.seq
        seq = first  # of the first line of a block
        held = ""
        for piece in stretches(data.blocks(), MAX_ROW):
            text = held + text_of(piece)
            if piece.too_long:
                rows, going_on = self._parse(held.removesuffix("\n"), last=True)
                problem = f"the row is longer than {MAX_ROW:,} bytes"
                rows = [*rows[: held.count("\n")], Row(held.count("\n"), None, problem)]
            else:
                rows, going_on = self._parse(text, last=False)
                if going_on is not None and len(text) > 2 * MAX_ROW:
                    rows, going_on = self._parse(text, last=True)
            lines = text.split("\n")
            read = len(lines) if going_on is None else going_on
            yield from self._batches(rows, lines, read, make, origin, seq, max_lines)
            seq += read
            held = "" if going_on is None else "\n".join(lines[going_on:]) + "\n"
        if held:
            text = held.removesuffix("\n")
            rows, _ = self._parse(text, last=True)
            lines = text.split("\n")
            yield from self._batches(rows, lines, len(lines), make, origin, seq, max_lines)

    def _parse(self, text: str, *, last: bool) -> tuple[list[Row], int | None]:
        return parse(text, self._delimiter, last=last, width=len(self._columns.names))

    def _batches(
        self,
        rows: Sequence[Row],
        lines: Sequence[str],
        read: int,
        make: _RowMaker,
        origin: Origin,
        seq: int,
        max_lines: int,
    ) -> Iterator[Batch]:
        """Yield the requests of a block of *read* lines, the first of which has number *seq*."""
        header = origin.seq + self._header - 1 if self._header else 0
        has_others = header >= seq or any(map(str.startswith, lines, repeat(("#", '"#'))))
        for at in range(0, len(rows) or 1, max_lines):
            some = rows[at : at + max_lines]
            behind = rows[at + max_lines].line if at + max_lines < len(rows) else read
            requests = None if has_others else make.requests(some, seq)
            if requests is None:
                requests = []
                for row in some:
                    if row.line + seq != header:
                        requests += make.requests_of(row, lines[row.line], seq)
            weight = sum([len(request.row or b"") for request in requests])
            yield Batch(requests, len(some) - len(requests), seq + behind - 1, weight)


class _RowMaker:
    """Makes a request of the cells of a row."""

    def __init__(self, columns: Columns, maker: Maker) -> None:
        self._maker = maker
        self._columns = columns
        self._url = columns.url
        self._fields = columns.fields
        self._width = len(columns.names)
        carried = columns.carried
        self._names = tuple(columns.names[at] for at in carried)
        self._carried = itemgetter(*carried) if len(carried) > 1 else None
        self._one = carried[0] if len(carried) == 1 else None
        self._struct = struct_of(self._names)

    def requests(self, rows: Sequence[Row], seq: int) -> list[Request] | None:
        """Return the requests for *rows* of a block that begins with line *seq*.

        None where one of them asks for a closer look.
        """
        cells = [row.cells or () for row in rows]
        if self._fields or self._struct is None or set(map(len, cells)) != {self._width}:
            return None
        carried: list[bytes] | None = None
        if self._carried is not None:
            carried = rows_of(starmap(self._struct, map(self._carried, cells)))
        elif self._one is not None:
            carried = rows_of(map(self._struct, map(itemgetter(self._one), cells)))
        if carried is None and self._names:
            return None
        urls = list(map(itemgetter(self._url), cells))
        return self._maker.requests(urls, [seq + row.line for row in rows], carried)

    def requests_of(self, row: Row, line: str, seq: int) -> list[Request]:
        """Return the request for *row*, which begins with *line*; none for a comment or blanks."""
        if row.cells is None:
            if line.lstrip(BLANKS).startswith("#"):
                return []
            return [self._maker.refused(line, seq + row.line, row.problem)]
        if is_skipped(row.cells) and not line.startswith('"#'):
            return []
        return [self.request(row.cells, seq + row.line)]

    def request(self, cells: list[str], seq: int) -> Request:
        """Return the request for the row *cells*."""
        if len(cells) != self._width:
            return self._odd(cells, seq)
        row = None
        if self._carried is not None:
            row = row_of(dict(zip(self._names, self._carried(cells), strict=True)))
        elif self._one is not None:
            row = row_of({self._names[0]: cells[self._one]})
        if not self._fields:
            return self._maker.request(cells[self._url], seq, row=row)
        given = given_by((field, cells[at]) for field, at in self._fields)
        return self._maker.request(cells[self._url], seq, given, row)

    def _odd(self, cells: list[str], seq: int) -> Request:
        """Return the request for a row that is not as wide as the others."""
        names, carried = self._columns.names, self._columns.carried
        row = {names[at]: cells[at] for at in carried if at < len(cells)}
        if carried:
            row |= {str(at + 1): cells[at] for at in range(self._width, len(cells))}
        if self._url >= len(cells):
            problem = f"the row has no column {self._url + 1}, of the URL"
            carried_along = row_of(row) if row else None
            return self._maker.refused(", ".join(cells[:8]), seq, problem, carried_along)
        given = given_by((field, cells[at]) for field, at in self._fields if at < len(cells))
        return self._maker.request(cells[self._url], seq, given, row_of(row) if row else None)
