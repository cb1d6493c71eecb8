"""What `fetchpool status` shows of a run directory, read without disturbing a run that is on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from heapq import nlargest
from pathlib import Path

import msgspec

from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.model.values import Change
from fetchpool.output.ledger.entries import Entry, read_blocks
from fetchpool.output.ledger.errors import NotARunError
from fetchpool.output.ledger.holding import is_held
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.reported import ReportedEntry, Take, read_reported
from fetchpool.output.ledger.standing import Totals
from fetchpool.output.ledger.state import FileStamp, State, read_state

_HOSTS = 10
_HOSTS_COUNTED = 2_000
"""Hosts whose failures are counted after a cut, and half of those before it."""


class HostFailures(msgspec.Struct, frozen=True):
    """A host at which URLs failed."""

    host: str
    failures: int
    failed: dict[str, int]
    """By label, the most frequent first."""


class _ChangedRecord(msgspec.Struct, frozen=True, gc=False):
    url: str
    path: str | None = None
    change: str | None = None


class RunStatus(msgspec.Struct, frozen=True):
    """A run directory at a moment."""

    phase: str
    """`running`, `stopped`, `finished`, or `unknown` where only records are left."""
    sources: tuple[str, ...]
    """Lists and URLs, relative to the directory in which DEST is; `-` is standard input."""
    started_at: float | None
    """Seconds since the epoch."""
    totals: Totals
    """Of all lines with a record; `failed` has the most frequent first."""
    requests: int | None
    """URLs of the whole list; None as long as its end was not read."""
    left: int | None
    """URLs without a record; None while *requests* is."""
    hosts: tuple[HostFailures, ...]
    """Hosts with most failures, at most ten."""
    partial: bool
    """There were too many failing hosts to count each: some counts may be too small."""
    damaged: int
    """Lines of the ledger that are no record; the next run fetches their URLs again."""
    more_sources: int = 0
    """How many sources there are beside `sources`: of long lists, only some names are kept."""
    unfinished: tuple[str, ...] = ()
    """Sources of the first list that was stopped, where that is not the last command's."""
    gone_from_list: int = 0
    """URLs that the list of the run before had and this one has not (`--refresh`)."""
    can_go_on: bool = True
    """False where `.fetchpool/` is gone, without which no run takes the directory."""


def read_status(dest: Path, take: Take | None = None) -> RunStatus:
    """Return how the run in *dest* stands; 0.7 µs a record, in flat memory.

    With *take*, all records go to that as well, and it is left to it to count `hosts`.
    A run that is on may go on meanwhile. Raises `NotARunError` if there is no `results.jsonl`,
    OSError if it can't be read.
    """
    layout = Layout(dest)
    running = is_held(layout)  # before the state: a run that ends meanwhile is then `finished`
    state = read_state(layout.state)
    totals, hosts, damaged = Totals(), _FailureTable(), 0
    try:
        for entries, unreadable in _readable(layout.ledger, take):
            damaged += unreadable
            totals.add(entries)
            for entry in entries:
                if not entry.ok and take is None:
                    hosts.add(entry)
        stamp = FileStamp.of(layout.ledger.stat())
    except (FileNotFoundError, NotADirectoryError):
        raise NotARunError(f"{dest} holds no run: there is no {layout.ledger.name}") from None
    totals.failed = dict(nlargest(len(totals.failed), totals.failed.items(), lambda item: item[1]))
    requests = None if state is None else state.expected
    earlier = () if state is None else state.earlier
    return RunStatus(
        phase="running" if running else _phase(state, stamp, totals),
        sources=() if state is None else _sources(state),
        started_at=None if state is None else state.started_at,
        totals=totals,
        requests=requests,
        left=None if requests is None else max(0, requests - totals.records),
        hosts=hosts.worst(),
        partial=hosts.partial,
        damaged=damaged,
        more_sources=sum(each.count - len(each.names) for each in earlier),
        unfinished=() if state is None else _unfinished(state, stamp),
        gone_from_list=sum(1 for _ in _left(layout)),
        can_go_on=state is not None or layout.foreign.exists(),
    )


def _readable(ledger: Path, take: Take | None) -> Iterator[tuple[Sequence[Entry], int]]:
    """Yield records of *ledger* that lie together, and how many lines beside them are none."""
    if take is None:
        for block in read_blocks(ledger):
            found = [entry for entry in block.entries if entry is not None]
            yield found, len(block.entries) - len(found)
        return
    for block in read_blocks(ledger, read=read_reported):
        entries = [entry for entry in block.entries if isinstance(entry, ReportedEntry)]
        take(entries)
        yield entries, len(block.entries) - len(entries)


class Changed(msgspec.Struct, frozen=True, gc=False):
    """A URL that isn't as it was in the run before."""

    change: str
    """`new`, `changed`, `gone`, or `left`: the list has it no more."""
    url: str
    path: str | None = None
    """Where its body is, or was."""


_changed = msgspec.json.Decoder(_ChangedRecord)


def read_changed(dest: Path) -> Iterator[Changed]:
    """Yield what has changed in the run in *dest*, in the order of the records; flat memory.

    Raises `NotARunError` if there is no `results.jsonl`, OSError if it can't be read.
    """
    layout = Layout(dest)
    if not layout.ledger.exists():
        raise NotARunError(f"{dest} holds no run: there is no {layout.ledger.name}")
    for record in _records(layout.ledger):
        if record.change is not None and record.change != Change.SAME:
            yield Changed(record.change, record.url, record.path)
    for record in _left(layout):
        yield Changed("left", record.url, record.path)


def read_left(dest: Path) -> Iterator[str]:
    """Yield the URLs that the list of the run before had and that of the run in *dest* has not."""
    for record in _left(Layout(dest)):
        yield record.url


def _left(layout: Layout) -> Iterator[_ChangedRecord]:
    if layout.left.exists():
        yield from _records(layout.left)


def _records(path: Path) -> Iterator[_ChangedRecord]:
    for block in read_blocks(path):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is not None:
                with suppress(msgspec.DecodeError):
                    yield _changed.decode(line)


def _phase(state: State | None, ledger: FileStamp, totals: Totals) -> str:
    if state is None:
        return "unknown"
    finished = state.finished == ledger or state.expected == totals.records
    return "finished" if finished and all(each.finished for each in state.joined()) else "stopped"


def _unfinished(state: State, ledger: FileStamp) -> tuple[str, ...]:
    if state.finished != ledger:
        return ()
    return next((each.names for each in state.joined() if not each.finished), ())


def _sources(state: State) -> tuple[str, ...]:
    """Return the sources of all lists: of long ones that were added, the first few."""
    return (*(name for each in state.earlier for name in each.names), *state.sources)


class _FailureTable:
    """Failures by host, of the hosts that have most."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, int]] = {}
        self.partial = False

    def add(self, entry: Entry) -> None:
        """Count a record that is not ok; lines that name no host are left out."""
        try:
            host = parse_url(entry.url).host_key
        except InvalidURLError:
            return
        failed = self._hosts.setdefault(host, {})
        label = entry.label or ""
        failed[label] = failed.get(label, 0) + 1
        if len(self._hosts) > 2 * _HOSTS_COUNTED:
            self._hosts = {row.host: row.failed for row in self.worst(_HOSTS_COUNTED)}
            self.partial = True

    def worst(self, count: int = _HOSTS) -> tuple[HostFailures, ...]:
        """Return up to *count* hosts, that with most failures first."""
        rows = (
            HostFailures(
                host,
                sum(failed.values()),
                dict(sorted(failed.items(), key=lambda item: (-item[1], item[0]))),
            )
            for host, failed in self._hosts.items()
        )
        return tuple(nlargest(count, rows, key=lambda row: row.failures))
