"""From the records of an earlier run to the ledger that this run appends to.

    old records ──which are kept?──▶ today's list is the same file  ─▶ go on in place, or filter
    (results.jsonl,                  another file                   ─▶ match by URL, renumber
     waiting.jsonl)                  a pipe                         ─▶ let them wait for their lines

Each way but the first ends with a `commit` of finished files (see `install`). The records of other
lists (`--add`) stay in front of what comes of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

from msgspec.structs import replace

from fetchpool.model.urls import is_hiding
from fetchpool.model.values import Request
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.entries import Entry, read_blocks, read_entries, renumbered
from fetchpool.output.ledger.errors import index_errors, output_errors
from fetchpool.output.ledger.files import LineWriter
from fetchpool.output.ledger.install import commit
from fetchpool.output.ledger.keeping import Keeping
from fetchpool.output.ledger.layout import Layout, remove
from fetchpool.output.ledger.lists import Others
from fetchpool.output.ledger.matching import AnswerSet, add_lines, add_records, open_index, pairs
from fetchpool.output.ledger.standing import Standing
from fetchpool.output.ledger.state import State

_BATCH = 1000
_AFTER_ALL = 1 << 48
"""Added to the number of a record that waits: it is matched after those that had their line."""


class OldRecord(NamedTuple):
    """A record of an earlier run."""

    ordinal: int
    """Its line's place among all lines of the earlier run's files, from 0."""
    raw: bytes
    entry: Entry
    waits: bool
    """Whether it is from `waiting.jsonl`."""


class Settling:
    """The ways to make today's ledger from what *layout* holds.

    *keeping* says which records are kept. What the file system or the index complain of comes out
    as `OutputError`, and nothing has changed then.
    """

    def __init__(
        self, layout: Layout, keeping: Keeping, *, fsync: bool, others: Others | None = None
    ) -> None:
        """Let the records of *others* stay; without, all records are those of today's list."""
        self._layout = layout
        self._keeping = keeping
        self._fsync = fsync
        self._others = others

    def start_anew(self, state: State, *, archive: bool = True) -> Standing:
        """Begin a ledger without records of today's list.

        With *archive* the old one, if it has any records, becomes `previous.jsonl`.
        """
        state.waiting = False
        with output_errors(self._layout.dest):
            standing = self._write_ledger((), state)
            old = self._layout.ledger
            archive = archive and old.exists() and old.stat().st_size > 0
            commit(self._layout, state, archive=archive, fsync=self._fsync)
        return standing

    def filter(self, state: State) -> Standing:
        """Drop the records that are not kept; the list is the same, so the numbers stay."""
        with output_errors(self._layout.dest):
            standing = self._write_ledger(self._kept_once(), state)
            commit(self._layout, state, archive=False, fsync=self._fsync)
        return standing

    def match(self, state: State, read_list: Callable[[], Iterable[Request]]) -> Standing:
        """Give each record that is kept the number its URL has in today's list; drop the others.

        What *read_list* raises comes out as it is.
        """
        dest = self._layout.dest
        with output_errors(dest):
            index = open_index(self._layout.index)
        with index_errors(dest), closing(index):
            with output_errors(dest):
                self._index_records(index)
            add_lines(index, _behind(read_list(), state.offset))
            with output_errors(dest):
                standing = self._write_ledger(self._matched(index), state)
        with output_errors(dest):
            remove(self._layout.index)
            state.waiting = False
            commit(self._layout, state, archive=False, fsync=self._fsync)
        return standing

    def let_wait(self, state: State) -> Standing:
        """Begin a ledger without records; those that are kept wait for their lines."""
        layout = self._layout
        with output_errors(layout.dest):
            standing = self._write_ledger((), state)
            # Some of the records may hold in the clear what is secret by now.
            if layout.waiting.exists() or not self._keeping.everything or is_hiding():
                self._write_waiting()
            else:
                _link_or_copy(layout.ledger, layout.next_waiting)
            state.waiting = True
            commit(layout, state, archive=False, fsync=self._fsync)
        return standing

    def _write_ledger(self, lines: Iterable[bytes], state: State) -> Standing:
        """Write *lines* to `next-results.jsonl` and return what it holds then."""
        standing = Standing(done=Bitmap() if state.stamps is not None or state.added else None)
        with LineWriter(self._layout.next_ledger, fsync=self._fsync) as writer:
            for part in (self._staying(), lines):
                remaining = iter(part)
                while data := b"".join(islice(remaining, _BATCH)):
                    standing.add(data, read_entries(data))
                    writer.write(data)
                if state.others is None:
                    state.others = standing.totals.copy()
        return standing

    def _staying(self) -> Iterator[bytes]:
        """Yield the records of other lists, of each line the first."""
        if self._others is None:
            return
        seen = Bitmap()
        for old in self._with_line_once():
            line = self._others.staying(old.raw, old.entry, waits=old.waits)
            if line is not None and not (not old.waits and seen.add_all((old.entry.seq,))):
                yield line

    def _write_waiting(self) -> None:
        """Write all that is kept to `next-waiting.jsonl`, still in the order to be matched."""
        last = 0
        with LineWriter(self._layout.next_waiting, fsync=self._fsync) as writer:
            for old in self._kept():
                if old.waits:
                    writer.write(renumbered(old.raw, last + old.entry.seq, None, None))
                else:
                    writer.write(old.raw)
                    last = max(last, old.entry.seq)

    def _index_records(self, index: Connection) -> None:
        add_records(
            index,
            (
                (old.ordinal, old.entry.key, old.entry.seq + old.waits * _AFTER_ALL)
                for old in self._kept()
            ),
        )

    def _matched(self, index: Connection) -> Iterator[bytes]:
        """Yield the records that have a line today, renumbered."""
        found = pairs(index)
        pair = next(found, None)
        for old in self._old_records():
            if pair is None:
                return
            if old.ordinal == pair.ordinal:
                yield renumbered(old.raw, pair.seq, pair.source, pair.number)
                pair = next(found, None)

    def _kept_once(self) -> Iterator[bytes]:
        """Yield the records that are kept, of each line the first."""
        seen = Bitmap()
        for old in self._kept():
            if not seen.add_all((old.entry.seq,)):
                yield old.raw

    def _kept(self) -> Iterator[OldRecord]:
        """Yield the records of today's list that are kept."""
        for old in self._with_line_once():
            own = self._others is None or self._others.owns(old.entry)
            if own and self._keeping(old.entry):
                yield old

    def _with_line_once(self) -> Iterator[OldRecord]:
        """Yield all records, one that waits only if it never got its line."""
        if not self._layout.waiting.exists():
            yield from self._old_records()
            return
        with closing(AnswerSet(self._layout.answers)) as given:
            for old in self._old_records():
                if not old.waits:
                    given.add(old.entry)
                elif old.entry in given:
                    continue
                yield old

    def _old_records(self) -> Iterator[OldRecord]:
        """Yield the records of the earlier run: first those that have their line, in file order."""
        ordinal = 0
        for path in (self._layout.ledger, self._layout.waiting):
            if not path.exists():
                continue
            waits = path == self._layout.waiting
            for block in read_blocks(path):
                for raw, entry in zip(block.lines(), block.entries, strict=True):
                    if entry is not None:
                        yield OldRecord(ordinal, raw, entry, waits)
                    ordinal += 1


def _behind(requests: Iterable[Request], offset: int) -> Iterable[Request]:
    """Return *requests* with the numbers they have behind those of other lists."""
    if not offset:
        return requests
    return (replace(request, seq=request.seq + offset) for request in requests)


def _link_or_copy(path: Path, other: Path) -> None:
    """Give the content of *path* a second name; where files have but one, copy it."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)
