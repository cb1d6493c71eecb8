"""One record of a ledger, found by its number or its URL: where is the body of this line?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fetchpool.model.values import failure_label
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.receipts import Placed
from fetchpool.output.ledger.record import recorded_url


class Found(Placed, frozen=True, gc=False):
    """What a record says of a body."""

    seq: int
    url: str
    ok: bool
    status: int | None = None
    error: str | None = None
    detail: str | None = None

    @property
    def has_body(self) -> bool:
        """Whether there is a body of it; failures may have a row without one."""
        in_container = self.container is not None and (self.ok or self.length > 0)
        return self.path is not None or in_container

    @property
    def label(self) -> str | None:
        """What it failed of (see `failure_label`); None = ok."""
        return None if self.ok else failure_label(self.error or "internal", self.status)


_decode = msgspec.json.Decoder(Found).decode


def find(ledger: Path, wanted: str) -> Found | None:
    """Return the record of line *wanted*, a number, or of the URL *wanted*; None: there is none.

    Of several records of one URL it is the first that says where a body is, else the last. Raises
    OSError.
    """
    last = None
    for found in _candidates(ledger, wanted):
        if found.has_body:
            return found
        last = found
    return last


def _candidates(ledger: Path, wanted: str) -> Iterator[Found]:
    number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else None
    url = recorded_url(wanted)
    for block in read_blocks(ledger):
        for entry, line in zip(block.entries, block.lines(), strict=True):
            if entry is None or (entry.url != url if number is None else entry.seq != number):
                continue
            try:
                yield _decode(line)
            except msgspec.DecodeError:  # edited: what counting needs is all it has
                continue
