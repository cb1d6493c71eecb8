"""What a ledger holds: up to which byte, which lines are done, and how their answers add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from fetchpool.model.urls import REDACTED, conceals
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.entries import Entry, read_blocks
from fetchpool.output.ledger.record import Record

_REDACTED = REDACTED.encode()


class Totals(msgspec.Struct):
    """How the answers to all lines with a record add up."""

    records: int = 0
    ok: int = 0
    failed: dict[str, int] = {}
    """By label: the status of a complete answer (`404`), else the kind of error (`timeout`)."""
    bytes: int = 0
    wire_bytes: int = 0
    changes: dict[str, int] = {}
    """What became of URLs since the run before (`Change`), where that was asked."""

    def add(self, entries: Iterable[Entry | Record]) -> None:
        """Count *entries*; 0.15 µs each."""
        records = ok = stored = received = 0
        for entry in entries:
            records += 1
            stored += entry.bytes
            received += entry.wire_bytes
            if entry.change is not None:
                self.changes[entry.change] = self.changes.get(entry.change, 0) + 1
            if entry.ok:
                ok += 1
            else:
                label = entry.label or ""
                self.failed[label] = self.failed.get(label, 0) + 1
        self.records += records
        self.ok += ok
        self.bytes += stored
        self.wire_bytes += received

    def copy(self) -> Totals:
        """Return the same numbers, which stay as they are."""
        return msgspec.structs.replace(self, failed=dict(self.failed), changes=dict(self.changes))

    def without(self, part: Totals) -> Totals:
        """Return what is left when *part*, which is in these numbers, is taken away."""
        return Totals(
            records=self.records - part.records,
            ok=self.ok - part.ok,
            failed=_less(self.failed, part.failed),
            bytes=self.bytes - part.bytes,
            wire_bytes=self.wire_bytes - part.wire_bytes,
            changes=_less(self.changes, part.changes),
        )


def _less(counts: dict[str, int], part: dict[str, int]) -> dict[str, int]:
    left = ((label, count - part.get(label, 0)) for label, count in counts.items())
    return {label: count for label, count in left if count}


class Standing:
    """What is known of a ledger's first *offset* bytes."""

    def __init__(
        self,
        *,
        offset: int = 0,
        totals: Totals | None = None,
        done: Bitmap | None = None,
        secrets: bool = False,
        last: int = 0,
    ) -> None:
        """With *done* None, lines are counted only: a pipe's numbers mean nothing next time."""
        self.offset = offset
        self.totals = totals or Totals()
        self.done = done
        self.secrets = secrets
        """Some record is of a URL that has a secret, as far as what was hidden shows."""
        self.last = last
        """The largest number of a record."""
        self.unfit = 0
        """Lines that are no record, or a second one of the same list line: to be left out."""

    def add(self, data: bytes, entries: Sequence[Entry | Record | None]) -> None:
        """Take in what stands at `offset`: whole lines and what they say."""
        good = [entry for entry in entries if entry is not None]
        self.unfit += len(entries) - len(good)
        numbers = [entry.seq for entry in good]
        self.last = max(self.last, max(numbers, default=0))
        if self.done is not None:
            self.unfit += self.done.add_all(numbers)
        self.totals.add(good)
        if not self.secrets and _REDACTED in data:
            self.secrets = any(conceals(entry.url) for entry in good)
        self.offset += len(data)

    @property
    def answered(self) -> int:
        """How many lines of the list have a record."""
        return self.totals.records if self.done is None else len(self.done)

    def read_on(self, path: Path) -> None:
        """Take in all whole lines of *path* from `offset` on: 1.1 µs a record."""
        for block in read_blocks(path, self.offset):
            self.offset = block.offset  # an endless line takes more bytes than its data
            self.add(block.data, block.entries)
