"""What a report tells of a run, as values: counts of URLs, seconds, bytes.

Texts from a list or a server are unchanged but for their length: whoever writes them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Raw, Struct

from fetchpool.model.slot_time import RunAccount
from fetchpool.reporting.stats import FailedLine, FailureGroup, Times

LONGEST_TEXT = 2_000
"""Characters that are kept of a text."""


class Told(Protocol):
    """What is read of a record."""

    @property
    def seq(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def status(self) -> int | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def detail(self) -> str | None: ...
    @property
    def label(self) -> str | None: ...
    @property
    def wire_bytes(self) -> int: ...
    @property
    def started_at(self) -> str | None: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def change(self) -> str | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def redirects(self) -> int: ...
    @property
    def source(self) -> str | None: ...
    @property
    def line(self) -> int | None: ...
    @property
    def timings(self) -> Raw: ...


class Line(FailedLine, frozen=True, gc=False):
    """A line of a list, with what became of its URL; of one that is ok, too."""

    label: str | None = None
    """What it failed with; None = ok."""
    source: str | None = None
    """The list it stands in, where there are several."""
    elapsed_s: float = 0.0


class HostRow(Struct, frozen=True):
    """What came of the URLs of a host."""

    host: str
    urls: int
    failures: int
    failed: tuple[tuple[str, int], ...]
    """Its most frequent failures as (label, count), at most three."""
    wire_bytes: int
    p50_s: float
    """Within 6 %, as the next."""
    p90_s: float
    partial: bool = False
    """Some of its first URLs may be missing."""


class Stretch(Struct, frozen=True):
    """A time in which the run was at work: between two of them it did nothing."""

    began_at: float
    """Seconds since the epoch."""
    seconds: float
    urls: int


class Moment(Struct, frozen=True):
    """What a run did in a short time."""

    at: float
    """Seconds of work before it, idle times left out."""
    ok: float
    """URLs a second."""
    failed: float
    wire_bytes: float
    """Bytes a second, of bodies as received; each body counts when its URL was done."""
    running: float
    """URLs that were begun and not done, on average."""
    p50_s: float | None = None
    """Of the URLs done in it; None without any."""
    p90_s: float | None = None


class Timeline(Struct, frozen=True):
    """A run over time."""

    seconds: float = 0.0
    """It was at work, idle times left out."""
    step_s: float = 1.0
    """How long a moment is; one behind which nothing happened is as long as that."""
    moments: tuple[Moment, ...] = ()
    stretches: tuple[Stretch, ...] = ()


class Bar(Struct, frozen=True):
    """How many URLs took about as long as each other."""

    up_to_s: float
    ok: int
    failed: int


class Gathered(Struct, frozen=True):
    """What the records of a run say."""

    timeline: Timeline
    whole: Times | None
    """From a URL's first attempt to the end of its last."""
    steps: Mapping[str, Times]
    """By step of the last attempt, where `--timings` was on; of long runs, those of a sample."""
    bars: Sequence[Bar]
    """Of the times in *whole*, without gaps."""
    hosts: Sequence[HostRow]
    """Most failures first."""
    more_hosts: int
    """How many there are beside these; a lower bound where `hosts_partial`."""
    hosts_partial: bool
    failures: Sequence[FailureGroup]
    ok_lines: Sequence[Line] | None
    """Those whose URLs are ok; None where they are too many, or nobody asked."""
    changed: Mapping[str, Sequence[str]]
    """The first URLs that are `new`, `changed` or `gone` since the run before."""
    retried: int
    """URLs that took more than one attempt."""
    redirected: int


class Report(Struct, frozen=True, kw_only=True):
    """A run, as it is to be told."""

    dest: str
    phase: str
    """`running`, `stopped`, `finished` or `unknown`."""
    sources: tuple[str, ...]
    more_sources: int = 0
    started_at: float | None = None
    last_record_at: float | None = None
    urls: int | None
    """Of the whole list; None: it was not read to its end."""
    records: int
    ok: int
    failed: Mapping[str, int]
    """By label, the most frequent first."""
    left: int | None
    bytes: int
    wire_bytes: int
    changes: Mapping[str, int]
    """What became of URLs since the run before (`--refresh`); empty where nobody asked."""
    gone_from_list: int = 0
    """URLs that the list of the run before had and this one has not,"""
    left_urls: tuple[str, ...] = ()
    """some of them."""
    damaged: int = 0
    """Lines of the ledger that are no record."""
    accounts: tuple[RunAccount, ...] = ()
    """Where the time of its commands went; none where nobody measured."""
    settings: Mapping[str, str]
    """What was in force, as the user would write it."""
    gathered: Gathered
    version: str

    @property
    def failures(self) -> int:
        """Number of URLs that failed."""
        return self.records - self.ok
