"""Which lines failed, grouped by reason: a sample of fixed size, and exact counts.

    add(label, reason, …) ──▶ FailureTable ──▶ groups(): counts of all, lines of some

The groups get one line of the sample each in turn, so that no frequent reason hides a rare one; of
each group the sample has the first lines of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

_REASONS: Final = 8
"""Reasons told apart under one label; further ones share a group, each line with its own."""

_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+(?:[.:][0-9]+)*")


class FailedLine(Struct, frozen=True, gc=False):
    """A line of a list whose URL failed."""

    seq: int
    place: str | None
    """Its place in words: `line 17`; None for a URL that was an argument."""
    url: str
    """As recorded, without secrets."""
    reason: str | None = None
    """What was wrong, in addition to the label."""


class FailureGroup(Struct, frozen=True):
    """Lines that failed for one reason."""

    label: str
    """See `failure_label`."""
    reason: str | None
    """What was wrong with all of them, in addition to the label; None: nothing, or it differs."""
    count: int
    lines: Iterable[FailedLine]
    """Some of them or all; each iteration may read a file."""
    listed: int
    """How many *lines* there are."""
    widest: int | None = None
    """Characters of the longest place in *lines*, if known."""


class FailureTable:
    """Counts failures by reason, and keeps up to *limit* of the lines."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._groups: dict[tuple[str, str], _Group] = {}
        self._reasons: dict[str, int] = {}
        self._kept = 0

    def add(self, label: str, reason: str | None, seq: int, make: Callable[[], FailedLine]) -> None:
        """Count the failure of line *seq*; call *make* for it if it may be listed."""
        group = self._group(label, reason)
        if group.reason != reason:
            group.reason = None
        group.count += 1
        if not self._limit or seq >= group.before:
            return
        group.lines.append(make())
        self._kept += 1
        if self._kept > 2 * self._limit + 2 * len(self._groups):
            self._trim()

    def groups(self) -> list[FailureGroup]:
        """Return the groups, the largest first, each with its part of the sample."""
        groups = self._by_size()
        parts = share_out([group.count for group in groups], self._limit)
        return [
            FailureGroup(
                group.label, group.reason, group.count, group.first(part), part, group.widest
            )
            for group, part in zip(groups, parts, strict=True)
        ]

    def widen(self, label: str, reason: str | None, width: int) -> None:
        """Widen the group of an added line to its place of *width* characters."""
        group = self._group(label, reason)
        group.widest = max(group.widest or 0, width)

    def index_of(self, label: str, reason: str | None) -> int:
        """Return the index in `groups` of the group with this label and reason."""
        return self._by_size().index(self._group(label, reason))

    def _by_size(self) -> list[_Group]:
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.label))

    def _group(self, label: str, reason: str | None) -> _Group:
        key = (label, _pattern(reason))
        group = self._groups.get(key)
        if group is not None:
            return group
        if self._reasons.get(label, 0) >= _REASONS:
            key = (label, "*")
            if key in self._groups:
                return self._groups[key]
        self._reasons[label] = self._reasons.get(label, 0) + 1
        group = self._groups[key] = _Group(label, reason)
        return group

    def _trim(self) -> None:
        """Drop lines that can't be listed any more, as a group's part only shrinks."""
        groups = self._by_size()
        parts = share_out([group.count for group in groups], self._limit)
        for group, part in zip(groups, parts, strict=True):
            group.keep(part + 1)
        self._kept = sum(len(group.lines) for group in groups)


class _Group:
    __slots__ = ("before", "count", "label", "lines", "reason", "widest")

    def __init__(self, label: str, reason: str | None) -> None:
        self.label = label
        self.reason = reason
        self.count = 0
        self.lines: list[FailedLine] = []
        self.before: float = float("inf")
        """Only lines with a smaller number can still be listed."""
        self.widest: int | None = None

    def first(self, count: int) -> tuple[FailedLine, ...]:
        return tuple(sorted(self.lines, key=lambda line: line.seq)[:count])

    def keep(self, count: int) -> None:
        if len(self.lines) > count:
            self.lines = list(self.first(count))
            self.before = self.lines[-1].seq


def share_out(counts: Sequence[int], limit: int) -> list[int]:
    """Return how much each of *counts* gets of *limit*, when they get one each in turn."""
    parts = [0] * len(counts)
    waiting = [place for place, count in enumerate(counts) if count]
    while waiting and limit:
        each = max(1, limit // len(waiting))
        for place in waiting:
            part = min(each, counts[place] - parts[place], limit)
            parts[place] += part
            limit -= part
        waiting = [place for place in waiting if parts[place] < counts[place]]
    return parts


@lru_cache(maxsize=256)
def _pattern(reason: str | None) -> str:
    """Return *reason* without what differs from URL to URL: numbers and quoted parts."""
    return "" if reason is None else _VARIES.sub("#", reason)
