"""Reading a ledger back: blocks of whole lines, each with what its records say, damage tolerated.

    results.jsonl ──128 KB at a time──▶ Block(offset, data, [Entry, Entry, None, …])  ⋯ torn tail

A line that is no record (a flipped bit, zeros after a loss of power, an edit by somebody else) is
None: it holds no outcome. After the last line feed comes a record that was being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from fetchpool.model.values import FailureKind, failure_label
from fetchpool.output.ledger.record import Record, escaped, recorded_key

BLOCK = 1 << 17
"""How much of a ledger is read at once: with what is made of it, it stays in a processor's cache.
Blocks of a megabyte took up to twice the time."""
MAX_LINE = 16 << 20
"""Longest line taken for a record, in bytes; of a longer stretch without a line feed, such as the
zeros some file systems leave after a loss of power, nothing is kept in memory."""

_KEYS = Record.__struct_fields__
_BEFORE_SOURCE = _KEYS[_KEYS.index("source") - 1]
"""The key behind which a record says its source and line."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What settling and counting need of a record (0.5 µs; all keys would take 1.1).

    Kinds of error are any text: a later version may have more.
    """

    seq: Annotated[int, msgspec.Meta(ge=1, le=1 << 48)]
    url: str
    ok: bool
    status: int | None
    error: str | None
    bytes: int
    wire_bytes: int
    started_at: str | None
    elapsed_s: float
    method: str = "GET"
    request_sha256: str | None = None
    change: str | None = None

    @property
    def key(self) -> str:
        """What it is known by, as `Request.key` is: all of what was asked, redacted."""
        if self.request_sha256 is not None:
            return recorded_key(self.url, f"{self.method} {self.request_sha256}")
        return self.url if self.method == "GET" else recorded_key(self.url, self.method)

    @property
    def label(self) -> str | None:
        """What a failure is counted as (see `failure_label`); None = ok."""
        if self.ok:
            return None
        return failure_label(self.error or FailureKind.INTERNAL, self.status)


class Line(NamedTuple):
    """A record as it stands in a file, with its line feed, and what it says."""

    raw: bytes
    entry: Entry

    def renumbered(self, seq: int, source: str | None, number: int | None) -> Line:
        """Return it as that of line *seq*: see the function of that name."""
        return Line(renumbered(self.raw, seq, source, number), replace(self.entry, seq=seq))


class Block(NamedTuple):
    """Whole lines that lie together in a ledger."""

    offset: int
    """Of the first byte."""
    data: bytes
    """The lines; the last byte is a line feed."""
    entries: Sequence[Entry | None]
    """One for each line; None = no record."""

    def lines(self) -> list[bytes]:
        """Return the lines, each with its line feed."""
        return [line + b"\n" for line in self.data.split(b"\n")[:-1]]


Read: TypeAlias = Callable[[bytes], Sequence[Entry | None]]
"""Returns what each of some whole lines says; None for one that is no record."""

_decoder = msgspec.json.Decoder(Entry)
_NO_RECORD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_blocks(path: Path, start: int = 0, read: Read | None = None) -> Iterator[Block]:
    """Yield the whole lines of *path* from byte *start* on, in order; memory: a few blocks.

    Where the blocks end, the torn tail begins. A stretch longer than `MAX_LINE` without a line
    feed counts as one line that is no record; its `data` is only the line feed. *read* is used
    in the place of `read_entries` by who needs other keys.
    """
    with FileIO(path) as file:
        yield from blocks_in(file, start, read=read)


def blocks_in(
    file: FileIO, start: int, end: int | None = None, *, read: Read | None = None
) -> Iterator[Block]:
    """Yield the whole lines of *file* like `read_blocks`, those before byte *end* only."""
    read = read or read_entries
    file.seek(start)
    offset = start
    held = b""
    lost = 0  # bytes of an endless line that were dropped already
    # In a long line, as much again each time: what is held is copied a few times only.
    while piece := file.read(_next(max(BLOCK, len(held)), file, end)):
        last = piece.rfind(b"\n") + 1
        if not last:
            held += piece
            if len(held) > MAX_LINE:
                lost += len(held)
                held = b""
            continue
        if lost:
            first = piece.find(b"\n") + 1
            yield Block(offset, b"\n", [None])
            offset += lost + len(held) + first
            held, lost = b"", 0
            piece, last = piece[first:], last - first
        data = held + piece[:last]
        held = piece[last:]
        if data:
            yield Block(offset, data, read(data))
            offset += len(data)


def _next(size: int, file: FileIO, end: int | None) -> int:
    return size if end is None else max(0, min(size, end - file.tell()))


def read_entries(data: bytes) -> list[Entry | None]:
    """Return what each line of *data* says; None for a line that is no record."""
    try:
        _check_text(data)
        entries: list[Entry | None] = list(_decoder.decode_lines(data))
    except _NO_RECORD:
        entries = []
    # Blank lines are passed over, and two values in one line are taken for two.
    if len(entries) == data.count(b"\n"):
        return entries
    return [read_entry(line) for line in data.split(b"\n")[:-1]]


def read_entry(line: bytes) -> Entry | None:
    """Return what one line says, or None if it is no record."""
    try:
        _check_text(line)
        return _decoder.decode(line)
    except _NO_RECORD:
        return None


def _check_text(data: bytes) -> None:
    """Raise UnicodeDecodeError if *data* is no UTF-8; the decoder looks at keys it knows only."""
    if not data.isascii():
        data.decode()


def renumbered(line: bytes, seq: int, source: str | None, number: int | None) -> bytes:
    """Return the record in *line* as that of line *seq*, which is line *number* of *source*.

    Both are None where there is but one source; a key this version does not know is kept.
    """
    if source is None and line.startswith(b'{"seq":') and b',"source":' not in line:
        return b'{"seq":%d%b' % (seq, line[line.index(b",") :])
    fields = _values_of(line)
    fields["seq"] = seq
    named: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in ("source", "line"):
            named[key] = value
        if key == _BEFORE_SOURCE and source is not None:
            named |= {"source": source, "line": number}
    return escaped(msgspec.json.encode(named)) + b"\n"


def _values_of(line: bytes) -> dict[str, Any]:
    """Return the record in *line* by key, each value as it is written there."""
    values: dict[str, Any] = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    return values


def with_seq(line: bytes, seq: int) -> bytes:
    """Return the record in *line* with another number, and all else as it is."""
    if line.startswith(b'{"seq":'):
        return b'{"seq":%d%b' % (seq, line[line.index(b",") :])
    fields = _values_of(line)
    return escaped(msgspec.json.encode({**fields, "seq": seq})) + b"\n"
