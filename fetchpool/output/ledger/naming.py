"""Which files no record names: what a body under another name has taken the place of may go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout


class _Named(msgspec.Struct, frozen=True, gc=False):
    path: str | None


_decoder = msgspec.json.Decoder(_Named)


def unnamed(layout: Layout, paths: set[str]) -> set[str]:
    """Return those of *paths* that no record of today's run names, nor one that waits.

    Reads the ledger in full, 1 µs a record. Raises OSError.
    """
    left = set(paths)
    for ledger in (layout.ledger, layout.waiting):
        if ledger.exists():
            left.difference_update(_named_in(ledger))
    return left


def _named_in(ledger: Path) -> Iterator[str]:
    for block in read_blocks(ledger):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is not None and (path := _decoder.decode(line).path) is not None:
                yield path
