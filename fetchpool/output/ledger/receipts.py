"""Which parts of containers the records name: read back to recover a sink after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fetchpool.model.values import Receipt
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout


class Placed(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a record says of where its body is."""

    path: str | None = None
    container: str | None = None
    offset: int = 0
    length: int = 0

    @property
    def place(self) -> tuple[str, int, int] | None:
        """Container, offset and length of the body, if it is in a container."""
        return None if self.container is None else (self.container, self.offset, self.length)


_decode = msgspec.json.Decoder(Placed).decode


def places(path: Path) -> Iterator[tuple[int, bytes, tuple[str, int, int] | None]]:
    """Yield each line of a ledger with its number from 0, and the place that its record names.

    None where it names no container, or is no record. Reads it in full. Raises OSError.
    """
    number = 0
    for block in read_blocks(path):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            has_place = entry is not None and b'"container":' in line
            yield number, line, _decode(line).place if has_place else None
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
