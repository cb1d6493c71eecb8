"""`handover.jsonl`: where redirects lead that another shard is to follow, a list for a next round.

Made of the ledger at the end of a run, in one step: so it holds each line's once, whatever was
killed before.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from fetchpool.model.values import HANDED_OVER, FailureKind
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.files import LineWriter, sync_directory
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import escaped

_MARK = HANDED_OVER.encode()


class _Record(msgspec.Struct, gc=False):
    seq: int
    url: str
    error: str | None = None
    status: int | None = None
    detail: str | None = None
    final_url: str | None = None


class HandedOver(msgspec.Struct, frozen=True, gc=False):
    """A line of the list."""

    url: str
    """Where the redirect leads."""
    seq: int
    """The number of the line that led there."""
    line_url: str
    """Its URL."""
    status: int | None
    """Of the redirect."""


_decode = msgspec.json.Decoder(_Record).decode


def handed_over(layout: Layout) -> Iterator[HandedOver]:
    """Yield what records of the ledger in *layout* say of redirects that were not followed.

    Raises OSError.
    """
    for block in read_blocks(layout.ledger):
        if _MARK not in block.data:
            continue
        for raw, entry in zip(block.lines(), block.entries, strict=True):
            if entry is None or entry.error != FailureKind.REDIRECT or _MARK not in raw:
                continue
            record = _decode(raw)
            if record.final_url is not None and (record.detail or "").startswith(HANDED_OVER):
                yield HandedOver(record.final_url, record.seq, record.url, record.status)


def write_handover(layout: Layout, *, fsync: bool) -> int:
    """Write the list beside the ledger of *layout*, replacing an earlier one; return its length.

    Without any such redirect there is no list. Raises OSError.
    """
    beside = layout.private / f"{layout.handover.name}.new"
    count = 0
    with LineWriter(beside, fsync=fsync) as writer:
        for each in handed_over(layout):
            writer.write(escaped(msgspec.json.encode(each)) + b"\n")
            count += 1
    if count:
        beside.replace(layout.handover)
    else:
        beside.unlink()
        layout.handover.unlink(missing_ok=True)
    if fsync:
        sync_directory(layout.home)
    return count
