"""A part of a plain file: whole lines, from places spread over all of it.

    file ──places──▶ ░░▓░░░░▓░░░▓░░░ ──the lines that begin there──▶ blocks

Each line begins in one place only, so a long line is as likely as a short one. The places are
the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

from fetchpool.sources.lines import BLOCK, MAX_LINE

if TYPE_CHECKING:
    from fetchpool.sources.fetched import FetchedSitemaps
    from fetchpool.sources.kinds import FileSource

LEAST_BYTES = 1 << 20
"""Less is never read of a file: that would save no time worth having."""
_PLACES = 10_000
"""Many small places are a better sample than few large ones, where neighbours are of one host."""
_SMALLEST = 4096
"""Bytes that a disk reads in any case."""
_GOLDEN = 0.6180339887498949
"""Its multiples, without what is before the point, are spread evenly and repeat no pattern."""


class Sample:
    """A part of a file's lines, as `Data` for its form to read."""

    fetched: FetchedSitemaps | None = None

    def __init__(self, source: FileSource, name: str, share: float) -> None:
        """Plan to read about *share* of the file, above 0 and up to 1; raises OSError."""
        self.name = name
        self._source = source
        descriptor = source.descriptor()
        size = max(0, os.fstat(descriptor).st_size - source.start)
        os.close(descriptor)
        wanted = min(float(size), max(size * share, LEAST_BYTES))
        self._place = round(min(BLOCK, max(_SMALLEST, wanted / _PLACES)))
        self._all = ceil(size / self._place)
        self._count = min(self._all, ceil(wanted / self._place))

    @property
    def weight(self) -> float:
        """How many lines of the file stand for one that is read."""
        return self._all / self._count if self._count else 1.0

    def blocks(self) -> Iterator[bytes]:
        """Read the lines, in blocks of at most `BLOCK` bytes; raises OSError."""
        descriptor = self._source.descriptor()
        try:
            for number in places(self._all, self._count):
                lines = self._lines(descriptor, number)
                for at in range(0, len(lines), BLOCK):
                    yield lines[at : at + BLOCK]
        finally:
            os.close(descriptor)

    def descriptor(self) -> None:
        """Return None: as a file it would be read whole."""

    def _lines(self, descriptor: int, number: int) -> bytes:
        """Return the whole lines that begin in place *number*."""
        start, size = self._source.start + number * self._place, self._place
        if number == 0:
            data = os.pread(descriptor, size, start)
        else:
            # A line begins behind a line feed: the byte before this place may be one.
            data = os.pread(descriptor, size + 1, start - 1)
            first = data.find(b"\n") + 1
            data = data[first:] if 0 < first <= size else b""
        if not data or data.endswith(b"\n"):
            return data
        rest = os.pread(descriptor, MAX_LINE, start + size)
        return data + rest[: rest.find(b"\n")] + b"\n" if b"\n" in rest else data + rest + b"\n"


def places(total: int, count: int) -> Iterator[int]:
    """Yield *count* numbers below *total*, rising, one from each of *count* equal stretches."""
    before = -1
    for number in range(count):
        place = int((number + number * _GOLDEN % 1) * total / count)
        # Of stretches that are hardly longer than a place, two may begin in the same one.
        before = max(place, before + 1)
        yield before
