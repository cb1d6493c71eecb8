"""CDXJ: the index of a container, a line a capture, sorted.

    com,example)/a 20260101000000 {"url": "http://example.com/a", "mime": …, "offset": "412", …}

As `cdxj-indexer --sort` writes it, byte for byte.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from fetchpool.output.readable import Readable
from fetchpool.output.warc.surt import surt

ENDING = ".cdxj"
ASIDE = ".new"
"""The end of an index' name until it is whole."""

RUN_BYTES = 4 << 20
"""Lines up to this are sorted in memory; what is more goes to a temporary file, run by run."""

_quoted = json.encoder.encode_basestring_ascii

_READ_BYTES = 64 * 1024


def line_of(
    url: str,
    date: str,
    mime: str | None,
    status: str | None,
    digest: str,
    place: tuple[str, int, int],
) -> bytes:
    """Return the line of a capture of *url* on *date* (`2026-01-01T00:00:00Z`).

    *place* is the name of the container's file, the offset of the record, its length.
    """
    filename, offset, length = place
    # Twice as fast as to have JSON made of a dictionary.
    more = "" if mime is None else f', "mime": {_quoted(mime)}'
    if status is not None:
        more += f', "status": {_quoted(status)}'
    return (
        f'{surt(url)} {timestamp_of(date)} {{"url": {_quoted(url)}{more}, '
        f'"digest": {_quoted(digest)}, "length": "{length}", "offset": "{offset}", '
        f'"filename": {_quoted(filename)}}}\n'
    ).encode()


def timestamp_of(date: str) -> str:
    """Return a record's *date* as 14 digits."""
    return f"{date[:4]}{date[5:7]}{date[8:10]}{date[11:13]}{date[14:16]}{date[17:19]}"


class SortedLines:
    """Takes lines in any order and gives them back sorted, in bounded memory."""

    def __init__(self, directory: Path) -> None:
        """Keep what is too much for memory in a file in *directory*, without a name."""
        self._directory = directory
        self._lines: list[bytes] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []

    def add(self, line: bytes) -> None:
        """Take a *line*, with its end. Raises OSError."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= RUN_BYTES:
            self._put_aside()

    def merged(self) -> Iterator[bytes]:
        """Yield all lines, sorted as bytes. Raises OSError."""
        self._lines.sort()
        return heapq.merge(*(self._run(start, end) for start, end in self._runs), self._lines)

    def close(self) -> None:
        """Forget the lines."""
        self._lines, self._bytes, self._runs = [], 0, []
        if self._file is not None:
            self._file.close()
            self._file = None

    def _put_aside(self) -> None:
        if self._file is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - see `close`
        start = self._runs[-1][1] if self._runs else 0
        self._file.seek(start)
        self._file.writelines(sorted(self._lines))
        self._file.flush()
        self._runs.append((start, start + self._bytes))
        self._lines, self._bytes = [], 0

    def _run(self, at: int, end: int) -> Iterator[bytes]:
        assert self._file is not None
        held = b""
        while at < end:
            data = os.pread(self._file.fileno(), min(_READ_BYTES, end - at), at)
            at += len(data)
            *lines, held = (held + data).splitlines(keepends=True) or [b""]
            if held.endswith(b"\n"):
                lines.append(held)
                held = b""
            yield from lines


class Place(NamedTuple):
    """Where a record is in its container, as an index says."""

    offset: int
    length: int


def lines_from(index: Readable, beginning: bytes) -> Iterator[Place]:
    """Yield the places in the lines of *index* that begin with *beginning*. Raises OSError."""
    with index.open("rb") as file:
        low, high = 0, file.seek(0, os.SEEK_END)
        while low < high:  # the first line not below it begins behind `low`
            middle = (low + high) // 2
            file.seek(middle)
            file.readline()
            if (line := file.readline()) and line < beginning:
                low = middle + 1
            else:
                high = middle
        file.seek(low)
        if low:
            file.readline()
        for line in file:
            if not line.startswith(beginning):
                if line > beginning:
                    return
                continue
            said = json.loads(line[line.index(b"{") :])
            yield Place(int(said["offset"]), int(said["length"]))


def write_index(path: Path, lines: Iterable[bytes], *, fsync: bool) -> None:
    """Make *lines* the index at *path*, in one step. Raises OSError."""
    aside = path.with_name(path.name + ASIDE)
    with aside.open("wb") as file:
        file.writelines(lines)
        if fsync:
            file.flush()
            os.fsync(file.fileno())
    aside.rename(path)
