"""The lists whose records are in one ledger: several where `--add` brought one to another.

    a.txt    numbers 1 to 40    finished
    b.txt    41 to 90           stopped
    c.txt    91 and above       the list of the last command

Each has its own range of numbers, in the order in which the lists came. A list that is given again
is taken out of its place and becomes the last one; those behind it move up. A stream (standard
input, a named pipe) can't be told from another one of its name, so each is a list of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from fetchpool.model.urls import conceals, is_hiding, redact
from fetchpool.output.ledger.entries import Entry, renumbered, with_seq
from fetchpool.output.ledger.record import escaped, keys
from fetchpool.output.ledger.state import ListState, State, list_key

NAMES_KEPT = 8
"""Names remembered of an earlier list: its key tells whether all of them are the same."""


def lists_of(state: State, last: int, *, finished: bool) -> tuple[ListState, ...]:
    """Return every list of the ledger that *state* describes, the last command's at the end.

    *last* is the largest number of a record there, *finished* tells of the last command's list.
    """
    current = ListState(
        key=list_key(state.sources),
        names=state.sources[:NAMES_KEPT],
        count=len(state.sources),
        first=state.offset,
        last=max(state.offset + state.lines, last),
        finished=finished,
        stream=state.stamps is None,
        body=state.body,
    )
    return (*(state.joined() if finished else state.earlier), current)


def is_covered(lists: Sequence[ListState], names: Sequence[str]) -> bool:
    """Tell whether a command over *names* gives every one of *lists* again."""
    left = list(names)
    for each in lists:
        if each.count > len(each.names) and each.key != list_key(names):
            return False
        for name in each.names:
            if name not in left:
                return False
            left.remove(name)
    return True


class Others:
    """The records of the lists that stay, beside those of the command's own."""

    def __init__(
        self, lists: Sequence[ListState], own: ListState | None, *, name: str | None, waiting: int
    ) -> None:
        """Keep all of *lists* but *own*, which has to be one of them.

        *name* is the source of all records where they don't name theirs. *waiting* is the largest
        number of a record that still waits for its line: they get theirs behind all others.
        """
        self._firsts = [each.first for each in lists]
        self._own = None if own is None else lists.index(own)
        self._name = name
        self._shifts: list[int] = []
        self._behind = lists[-1].last
        kept: list[ListState] = []
        gap = 0
        for each in lists:
            self._shifts.append(gap)
            if each is own:
                gap += each.last - each.first
            else:
                kept.append(_moved(each, gap))
        if waiting:
            kept[-1] = msgspec.structs.replace(kept[-1], last=self._behind + waiting)
        self.lists = tuple(kept)
        """Those that stay, as they are numbered from now on."""

    @property
    def last(self) -> int:
        """The number behind which those of the command's own list begin."""
        return self.lists[-1].last if self.lists else 0

    def staying(self, raw: bytes, entry: Entry, *, waits: bool) -> bytes | None:
        """Return the record in *raw* as it stays in the ledger; None if it is the own list's."""
        if waits:
            line, seq = raw, self._behind + entry.seq
        else:
            place = bisect_left(self._firsts, entry.seq) - 1
            if place == self._own:
                return None
            line, seq = raw, entry.seq - self._shifts[place]
        if is_hiding() and redact(entry.url) != entry.url:
            line = _redacted(line)
        if self._name is not None:
            return renumbered(line, seq, self._name, entry.seq)
        return line if seq == entry.seq else with_seq(line, seq)

    def owns(self, entry: Entry) -> bool:
        """Tell whether the record of *entry*, which has its line, is the own list's."""
        return self._own is not None and bisect_left(self._firsts, entry.seq) - 1 == self._own


class Answered:
    """Which records of the ledger answer the lines of a stream: a rule for `Waiting`."""

    def __init__(self, lists: Sequence[ListState]) -> None:
        """Take the records of *lists*."""
        self._ranges = [(each.first, each.last) for each in lists]

    def __call__(self, entry: Entry) -> bool:
        """Tell whether the record counts as an answer."""
        inside = any(first < entry.seq <= last for first, last in self._ranges)
        return inside and not conceals(entry.url)


def _moved(each: ListState, gap: int) -> ListState:
    names = tuple(map(redact, each.names)) if is_hiding() else each.names
    return msgspec.structs.replace(each, names=names, first=each.first - gap, last=each.last - gap)


def _redacted(line: bytes) -> bytes:
    """Return the record in *line* without what is secret by now."""
    fields = msgspec.json.decode(line)
    for name, key in keys().items():
        if key.hide is not None and isinstance(fields.get(name), str):
            fields[name] = key.hide(fields[name])
    return escaped(msgspec.json.encode(fields)) + b"\n"
