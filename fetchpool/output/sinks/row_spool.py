"""Rows on their way to Parquet, in a file that only grows and says by itself what it holds.

    number (8 bytes) | length of the record (4) | of the body (8; -1: there is none)
    the record, as a line of JSON
    the body

Numbers are little-endian. A Parquet file can be read only when it is complete; this can be at any
time, and what a killed process left of its last row is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from fetchpool.output.sinks.spool import PIECE

_head = Struct("<QIq")
HEAD_SIZE = _head.size


class SpooledRow(NamedTuple):
    """A row in a spool; its body is read before the next row is asked for, or never."""

    number: int
    record: bytes
    """A line of JSON."""
    length: int | None
    """Of the body in bytes; None: there is none."""
    file: BinaryIO
    """Stands at the body."""


def head_of(number: int, record: bytes, length: int | None) -> bytes:
    """Return what a row begins with, up to its body of *length* bytes (None: there is none)."""
    return _head.pack(number, len(record), -1 if length is None else length) + record


def read_rows(path: Path) -> Iterator[SpooledRow]:
    """Yield the rows of a spool that are complete, in their order. Raises OSError."""
    with path.open("rb", PIECE) as file:
        size = file.seek(0, 2)
        at = 0
        while at + HEAD_SIZE <= size:
            file.seek(at)
            number, told, length = _head.unpack(file.read(HEAD_SIZE))
            at += HEAD_SIZE + told + max(length, 0)
            if at > size:
                return
            record = file.read(told)
            yield SpooledRow(number, record, None if length < 0 else length, file)
