"""Records as a table in CSV (RFC 4180): a header, a row a record.

    row of the list │ seq url ok …              each column of the list, then the keys of a record
    "Ann",7         │ 1 https://h/a true …

The list's own cells are written as they were, over several lines where they are; what begins a
formula is made harmless in all of them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable
from io import StringIO
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from fetchpool.model.urls import display
from fetchpool.model.values import Timings
from fetchpool.output.ledger.record import NO_ROW, Batch, Record, whole_characters

OPTIONAL = dict(
    zip(
        Record.__struct_fields__[-len(Record.__struct_defaults__) :],
        Record.__struct_defaults__,
        strict=True,
    )
)
"""Keys that a record has only where there is something to say, with what they mean if not."""

ROW = "row"
TIMINGS = "timings"
"""The keys whose values are columns by themselves."""

MOST_COLUMNS = 16_000
"""Columns of lists in a table at most. A spreadsheet holds 16,384 (Excel, LibreOffice), ours are
among them; what a list has beyond is JSON in one cell."""

_PREFIX = "fetchpool_"
_MARK = b"\xef\xbb\xbf"


class Dialect(NamedTuple):
    """How a table is written."""

    delimiter: str = ","
    bom: bool = False
    """Whether it begins with a byte order mark, by which spreadsheets know UTF-8."""

    @classmethod
    def of(cls, sheet: tuple[str, bool] | None) -> Dialect:
        """Return that of *sheet*, a list as `State.sheet` says; the usual one if it is none."""
        return cls(*sheet) if sheet is not None and sheet[0] in (",", ";") else cls()


class Table(NamedTuple):
    """What is known of a table before its first record."""

    keys: Collection[str] = ()
    """Keys of a record beside those that every one has."""
    columns: Collection[str] = ()
    """Those of the list, in its order."""
    dialect: Dialect = Dialect()
    closed: bool = False
    """True if no list has another column."""


PLAIN = Table()
"""One of records that have only what each has."""


class Columns:
    """What stands in a row of a table, in UTF-8."""

    def __init__(self, table: Table) -> None:
        """Have the columns of *table*."""
        self._dialect = table.dialect
        self._ours = [
            name
            for name in Record.__struct_fields__
            if name not in (ROW, TIMINGS) and (name not in OPTIONAL or name in table.keys)
        ]
        self._times = Timings.__struct_fields__ if TIMINGS in table.keys else ()
        self._values = attrgetter(*self._ours)
        self._listed = tuple(table.columns)[:MOST_COLUMNS]
        self._known = frozenset(self._listed)
        self._blank = [""] * len(self._listed)
        self._has_rest = bool(self._listed) and (
            not table.closed or len(table.columns) > MOST_COLUMNS
        )

    @property
    def header(self) -> bytes:
        """The names of all columns: one of ours that a list has as well gets a prefix."""
        taken = set(self._listed)
        names: list[str | float] = [_harmless(name) for name in self._listed]
        ours = [*self._ours, *(f"{TIMINGS}_{step}" for step in self._times)]
        for key in [*ours, ROW] if self._has_rest else ours:
            prefix = ""
            while prefix + key in taken:
                prefix += _PREFIX
            names.append(prefix + key)
        mark = _MARK if self._dialect.bom else b""
        return mark + self._written([names])

    def batch(self, batch: Batch) -> bytes:
        """Return the records of *batch* as rows; 4 µs each."""
        return self._written(map(self._row, batch.records))

    def lines(self, data: bytes) -> bytes:
        """Return the records in *data*, whole lines of JSON, as rows; 7 µs each."""
        return self._written(map(self._row, _lines.decode_lines(data)))

    def count(self, data: bytes) -> int:
        """Return how many rows are whole in *data*, the beginning of some."""
        rows = quotes = 0
        for line in data.split(b"\n")[:-1]:
            quotes += line.count(b'"')
            rows += quotes % 2 == 0  # else the line ends within a cell
        return rows

    def _row(self, record: Any) -> list[str | float]:
        ours = [_cell(value) for value in self._values(record)]
        if self._times:
            ours += _seconds(record.timings)
        if not self._listed:
            return ours
        cells = _cells_of(record.row)
        own = [_harmless(cells[name]) if name in cells else "" for name in self._listed]
        if not self._has_rest:
            return own + ours
        beyond = cells.keys() - self._known
        return [*own, *ours, _harmless(_object_of(record.row, beyond)) if beyond else ""]

    def _written(self, rows: Iterable[Iterable[Any]]) -> bytes:
        text = StringIO()
        delimiter = self._dialect.delimiter
        csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
        return text.getvalue().encode()


def begun(table: Table, batch: Batch) -> Table:
    """Return *table* with the columns of the lists that its first records, *batch*, are of."""
    return table._replace(columns=_names(table.columns, (each.row for each in batch.records)))


def completed(table: Table, pieces: Callable[[], Iterable[bytes]]) -> Table:
    """Return *table* with all columns that the records in *pieces*, whole lines, have.

    *pieces* are gone through once, or twice where lists had other columns.
    """
    found = set(table.keys)
    for data in pieces():
        found |= _seen_in(data, OPTIONAL.keys() - found)
    if ROW not in found:
        return table._replace(keys=found, closed=True)
    # What stands in a row may look like a key of ours: now each is decoded.
    found, columns = set(table.keys), tuple(table.columns)
    for data in pieces():
        lines = _marks.decode_lines(data)
        columns = _names(columns, (getattr(line, ROW) for line in lines))
        for key in OPTIONAL.keys() - found - {ROW}:
            if any(getattr(line, key) is not msgspec.UNSET for line in lines):
                found.add(key)
    return table._replace(keys=found, columns=columns, closed=True)


def _names(known: Collection[str], rows: Iterable[msgspec.Raw]) -> tuple[str, ...]:
    """Return *known* and behind it what other names *rows* have, one more than fit at most."""
    names = dict.fromkeys(known)
    for row in rows:
        if len(row):
            for name in _values_of(row):
                if len(names) <= MOST_COLUMNS:
                    names[name] = None
    return tuple(names)


def _seen_in(data: bytes, keys: Collection[str]) -> set[str]:
    """Return which of *keys* stand in *data*, some JSON with nothing between its tokens.

    Within a text such a key can't be: its quotes would be escaped.
    """
    return {key for key in keys if b',"%b":' % key.encode() in data}


# Of a line whatever is there is taken; a later version may have other types.
_Line = msgspec.defstruct(
    "_Line",
    [
        *((name, Any, OPTIONAL.get(name)) for name in Record.__struct_fields__ if name != ROW),
        (ROW, msgspec.Raw, NO_ROW),
    ],
    gc=False,
)
_Marks = msgspec.defstruct(
    "_Marks",
    [
        *((name, Any, msgspec.UNSET) for name in OPTIONAL if name != ROW),
        (ROW, msgspec.Raw, NO_ROW),
    ],
    gc=False,
)
_lines = msgspec.json.Decoder(_Line)
_marks = msgspec.json.Decoder(_Marks)
_texts = msgspec.json.Decoder(dict[str, str])
_values = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _seconds(timings: Any) -> list[str | float]:
    """Return the cells of *timings*, a value or an object of a ledger; blank if there are none."""
    if isinstance(timings, dict):
        return [_cell(timings.get(step)) for step in Timings.__struct_fields__]
    return [_cell(getattr(timings, step, None)) for step in Timings.__struct_fields__]


def _values_of(row: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _values.decode(row)
    except msgspec.DecodeError:  # somebody has edited it: no object
        return {}


def _cells_of(row: msgspec.Raw) -> dict[str, str]:
    """Return the cells of *row*: texts as they are, null as nothing, all else as JSON."""
    if not len(row):
        return {}
    try:
        return _texts.decode(row)
    except msgspec.DecodeError:
        return {name: _text_of(bytes(value)) for name, value in _values_of(row).items()}


def _text_of(value: bytes) -> str:
    if value == b"null":
        return ""
    if value.startswith(b'"'):
        return msgspec.json.decode(value, type=str)
    return value.decode()


def _object_of(row: msgspec.Raw, names: Collection[str]) -> str:
    """Return what of *row* has one of *names*, as a JSON object."""
    values = {name: value for name, value in _values_of(row).items() if name in names}
    return msgspec.json.encode(values).decode()


# What begins a formula (OWASP, "CSV Injection"), at the start of a cell or behind a `;`, where
# spreadsheets of half of Europe begin one. A blank or a quote before it may be dropped on import.
_FORMULA = re.compile('(\\A|;)(?=[ "]*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-])')
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*(?:[eE][+-]?[0-9]+)?%?")


def _harmless(text: str) -> str:
    """Return *text* with a `'` before what a spreadsheet would take for a formula."""
    # Most begin with a letter or a digit: 0.2 µs instead of the search's 1.5.
    if (text[:1].isalnum() and ";" not in text) or not text or _NUMBER.fullmatch(text):
        return text
    return _FORMULA.sub(r"\1'", text)


def _cell(value: Any) -> str | float:
    r"""Return *value*, one of ours, as it stands in a cell: harmless to spreadsheets and terminals.

    Only texts come from outside; what has no printable form in them becomes an escape (`\r`).
    """
    if isinstance(value, dict | list):
        value = msgspec.json.encode(value).decode()
    if isinstance(value, str):
        return display(_harmless(value if value.isprintable() else whole_characters(value)))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
