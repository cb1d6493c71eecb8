"""What a report needs of each record: more keys than counting does, read in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import astuple

from fetchpool.output.ledger.entries import Entry, read_entry

NO_TIMINGS = msgspec.Raw()


class ReportedEntry(Entry, frozen=True, gc=False):
    """What a record says of a URL that reports tell."""

    attempts: int = 1
    redirects: int = 0
    detail: str | None = None
    source: str | None = None
    line: int | None = None
    timings: msgspec.Raw = NO_TIMINGS
    """As it stands in the record, as not all of them are looked at; empty where there is none."""


Take: TypeAlias = Callable[[Sequence[ReportedEntry]], object]

_decoder = msgspec.json.Decoder(ReportedEntry)


def read_reported(data: bytes) -> Sequence[ReportedEntry | None]:
    """Return what each line of *data* says; None for a line that is no record.

    What is no record for `read_entries` is none here, and the other way round: a key that only
    reports need may say anything (then it is as if it weren't there).
    """
    try:
        if not data.isascii():
            data.decode()
        entries = _decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        entries = []
    if len(entries) == data.count(b"\n"):
        return entries
    return [_read_line(line) for line in data.split(b"\n")[:-1]]


def _read_line(line: bytes) -> ReportedEntry | None:
    entry = read_entry(line)
    if entry is None:
        return None
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        return ReportedEntry(*astuple(entry))
