"""Which parts of containers the records name: read back to recover a sink after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fetchpool.model.values import Receipt
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout


class _Place(msgspec.Struct, gc=False):
    container: str | None = None
    offset: int = 0
    length: int = 0


_decode = msgspec.json.Decoder(_Place).decode


def places(path: Path) -> Iterator[tuple[int, bytes, tuple[str, int, int] | None]]:
    """Yield each line of a ledger with its number from 0, and the place that its record names.

    None where it names no container, or is no record. Reads it in full. Raises OSError.
    """
    number = 0
    for block in read_blocks(path):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            place = None
            if entry is not None and b'"container":' in line:
                found = _decode(line)
                if found.container is not None:
                    place = found.container, found.offset, found.length
            yield number, line, place
            number += 1


def read_receipts(layout: Layout, *, earlier: bool) -> Iterator[Receipt]:
    """Yield where the bodies of today's records are, and of records that wait for their lines.

    With *earlier* those of the run before as well. Only bodies in containers are meant. Reads the
    ledgers in full. Raises OSError.
    """
    yield from _read(layout.ledger, layout.waiting)
    if earlier:
        yield from read_earlier_receipts(layout)


def read_earlier_receipts(layout: Layout) -> Iterator[Receipt]:
    """Yield where the bodies of the run before are. Raises OSError."""
    return _read(layout.previous, layout.carried)


def _read(*paths: Path) -> Iterator[Receipt]:
    for path in paths:
        if path.exists():
            for _, _, place in places(path):
                if place is not None:
                    yield Receipt(*place)
