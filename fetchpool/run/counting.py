"""What a run has recorded: counted, and which URLs failed, to be listed at the end.

A sample of the failures is kept on the way; all of them are read from the ledger when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fetchpool.config.report_settings import MOST_FAILURES
from fetchpool.model.values import Outcome
from fetchpool.output.ledger.failures import FailedEntry, read_failed
from fetchpool.output.ledger.record import SOURCE_KEYS, Record
from fetchpool.reporting.stats import (
    FailedLine,
    FailureGroup,
    FailureTable,
    failure_label,
    failure_reason,
)

if TYPE_CHECKING:
    from fetchpool.reporting.stats import Stats
    from fetchpool.run.journal import Recorded


class Counting:
    """Counts what has its record; what is lost on the way to the ledger is fetched again."""

    def __init__(self, stats: Stats, wanted: int | str, names: Sequence[str]) -> None:
        """List as many failures as are *wanted*, or `all`, of the lists or URLs *names*."""
        self._stats = stats
        self._all = wanted == "all"
        self._limit = MOST_FAILURES if isinstance(wanted, str) else wanted
        self._only_url = len(names) == 1 and _is_url(names[0])
        self._table = FailureTable(self._limit)
        self._has_kept_failures = False

    def recorded(self, records: Sequence[Recorded]) -> None:
        """Count what was recorded."""
        for each in records:
            if isinstance(each, Outcome):
                self._stats.outcome(each, each.host_key)
                if not each.ok:
                    self._add(each)
            else:
                self.kept(ok=each.ok, label=each.label)
                if each.change is not None:
                    self._stats.changes_kept({each.change: 1})

    def kept(self, *, ok: bool, label: str | None = None, count: int = 1) -> None:
        """Count URLs whose record of an earlier run still holds."""
        self._stats.kept(ok=ok, label=label, count=count)
        self._has_kept_failures = self._has_kept_failures or not ok

    def changes_kept(self, changes: Mapping[str, int]) -> None:
        """Count what had become of URLs whose record of a stopped run still holds."""
        self._stats.changes_kept(changes)

    def _add(self, outcome: Outcome) -> None:
        if not self._limit:
            return
        seq = outcome.request.seq
        self._table.add(*_words(outcome), seq, lambda: self._line(Record.of(outcome, SOURCE_KEYS)))

    async def failures(self, ledgers: Sequence[Path]) -> list[FailureGroup]:
        """Return the failures by reason; of all records in *ledgers* where these are at hand.

        Where they can't be read, and without one, those of this command: at most `MOST_FAILURES`.
        """
        if ledgers and self._limit and (self._all or self._has_kept_failures):
            try:
                return await asyncio.to_thread(self._read, ledgers)
            except OSError:
                pass  # what is known without it is better than nothing
        return self.sample()

    def sample(self) -> list[FailureGroup]:
        """Return the failures of this command by reason."""
        return self._table.groups()

    def _read(self, ledgers: Sequence[Path]) -> list[FailureGroup]:
        table = FailureTable(0 if self._all else self._limit)
        for entry in _failed_in(ledgers):
            words = _words(entry)
            table.add(*words, entry.seq, partial(self._line, entry))
            if self._all:
                place = self._place(entry.seq, entry.source, entry.line)
                table.widen(*words, len(place or ""))
        groups = table.groups()
        if not self._all:
            return groups
        return [
            FailureGroup(
                group.label,
                group.reason,
                group.count,
                _Lines(self, ledgers, table, place),
                group.count,
                group.widest,
            )
            for place, group in enumerate(groups)
        ]

    def _line(self, entry: Record | FailedEntry) -> FailedLine:
        place = self._place(entry.seq, entry.source, entry.line)
        return FailedLine(entry.seq, place, entry.url, _words(entry)[1])

    def lines_of(
        self, ledgers: Sequence[Path], table: FailureTable, place: int
    ) -> Iterator[FailedLine]:
        """Yield the lines in *ledgers* of the group that stands at *place* in *table*."""
        try:
            for entry in _failed_in(ledgers):
                if table.index_of(*_words(entry)) == place:
                    yield self._line(entry)
        except OSError:
            return

    def _place(self, seq: int, source: str | None, line: int | None) -> str | None:
        """Return where a line stands, in words."""
        if source is None:
            return None if self._only_url else f"line {seq}"
        if _is_url(source):
            return None
        return f"{'(standard input)' if source == '-' else source}:{line}"


class _Lines:
    """All lines of a group, read anew each time: nothing is kept of them."""

    def __init__(
        self, counting: Counting, ledgers: Sequence[Path], table: FailureTable, place: int
    ) -> None:
        self._of = (ledgers, table, place)
        self._counting = counting

    def __iter__(self) -> Iterator[FailedLine]:
        return self._counting.lines_of(*self._of)


def _failed_in(ledgers: Sequence[Path]) -> Iterator[FailedEntry]:
    for ledger in ledgers:
        yield from read_failed(ledger)


def _words(failed: Outcome | Record | FailedEntry) -> tuple[str, str | None]:
    """Return what a failure is counted as, and what there is to say beyond that."""
    label = failure_label(failed.error, failed.status) or "internal"
    return label, failure_reason(failed.error, failed.status, failed.detail)


def _is_url(name: str) -> bool:
    return name.lstrip().lower().startswith(("http://", "https://"))
