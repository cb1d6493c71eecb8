"""Which parts of containers the records name: read back to recover a sink after a kill."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fetchpool.model.values import Receipt
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout


class _Place(msgspec.Struct, gc=False):
    container: str | None = None
    offset: int = 0
    length: int = 0


_decoder = msgspec.json.Decoder(_Place)


def read_receipts(layout: Layout, *, earlier: bool) -> Iterator[Receipt]:
    """Yield where the bodies of today's records are, and of records that wait for their lines.

    With *earlier* those of the run before as well. Only bodies in containers are meant. Reads the
    ledgers in full. Raises OSError.
    """
    before = (layout.previous, layout.carried) if earlier else ()
    for path in (layout.ledger, layout.waiting, *before):
        if not path.exists():
            continue
        for block in read_blocks(path):
            for line, entry in zip(block.lines(), block.entries, strict=True):
                if entry is None:
                    continue
                place = _decoder.decode(line)
                if place.container is not None:
                    yield Receipt(place.container, place.offset, place.length)
