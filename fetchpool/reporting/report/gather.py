"""Counts the records of a run for a report: one pass, memory that doesn't grow with the list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from math import exp, floor, log
from typing import Final

from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.model.values import Change, FailureKind
from fetchpool.reporting.report.hosts import HostCounter, HostCounts
from fetchpool.reporting.report.steps import FINE, StepTimes, times_of
from fetchpool.reporting.report.timeline import STEPS, TimelineMaker
from fetchpool.reporting.report.values import LONGEST_TEXT, Bar, Gathered, Line, Told
from fetchpool.reporting.stats import FailureTable, failure_reason
from fetchpool.reporting.stats.buckets import SHORTEST_S
from fetchpool.reporting.stats.times import LONGEST_S

HOSTS: Final = 500
"""Hosts that a report lists at most."""
CHANGED: Final = 100
"""URLs that it lists of each change."""
_LABELS: Final = 100
"""Labels that are told apart; a damaged ledger may have any number."""

_TEN: Final = FINE // STEPS
"""How many buckets of percentiles are one of `STEPS`."""

_MILLISECONDS: Final = {f".{number:03}Z": number * 0.001 for number in range(1000)}
"""What follows the seconds in `started_at`."""

_FEWEST_BARS: Final = 8

_SECONDS_KEPT: Final = 4096
_ORIGINS_KEPT: Final = 16_384
_ORIGIN = re.compile(
    r"https?://((?:[a-z0-9_-]++\.)*+[a-z][a-z0-9_-]*+(?::[1-9][0-9]{3,4})?)(?=[/?#]|\Z)"
)
"""Of most URLs, the part that names their host as `Target.host_key` does."""


class Gatherer:
    """Counts records in any order; `finish` returns what they say."""

    def __init__(self, listed: int, ok_lines: int = 0) -> None:
        """List up to *listed* failures; the lines that are ok if they are at most *ok_lines*."""
        self._timeline = TimelineMaker()
        self._hosts = HostCounter()
        self._failures = FailureTable(listed)
        self._labels: set[str] = set()
        self._ok_lines: list[Line] | None = [] if ok_lines else None
        self._ok_most = ok_lines
        self._times: Counter[int] = Counter()
        self._failed_times: Counter[int] = Counter()
        self._total_s = 0.0
        self._steps = StepTimes()
        self._changed: dict[str, list[str]] = {}
        self._retried = 0
        self._redirected = 0
        self._origin: float | None = None
        self._seconds: dict[str, float | None] = {}
        self._host_keys: dict[str, str] = {}

    def add(self, records: Sequence[Told]) -> None:
        """Count *records*; about 1.5 µs each, which is why this is one loop."""
        counts_of = self._hosts.counts.get
        enter = self._hosts.enter
        add_to_timeline = self._timeline.add
        known_second = self._seconds.get
        known_key = self._host_keys.get
        times: list[int] = []
        failed_times: list[int] = []
        for record in records:
            host = None
            ok = record.ok
            wire_bytes = record.wire_bytes
            number = None
            if (text := record.started_at) is not None:
                second = known_second(text[:19]) or self._second(text[:19])
                if second is not None:
                    elapsed_s = record.elapsed_s
                    if not SHORTEST_S <= elapsed_s <= LONGEST_S:
                        elapsed_s = SHORTEST_S if elapsed_s < SHORTEST_S else LONGEST_S
                    self._total_s += elapsed_s
                    fine = floor(log(elapsed_s) * FINE)
                    (times if ok else failed_times).append(fine)
                    number = fine // _TEN
                    began = second + _MILLISECONDS.get(text[19:], 0.0)
                    add_to_timeline(began, elapsed_s, ok, wire_bytes, number)
            url = record.url
            end = url.find("/", 8)
            origin = url[:end] if end > 0 else url
            key = known_key(origin)
            if key is None:
                key = self._host_of(origin)
            if key and (ok or record.error != FailureKind.INPUT):
                host = counts_of(key)
                if host is None:
                    host = enter(key)
                    counts_of = self._hosts.counts.get
                host.urls += 1
                host.wire_bytes += wire_bytes
                if number is not None:
                    host.times[number] = host.times.get(number, 0) + 1
            if not ok:
                self._fail(record, host)
            elif self._ok_lines is not None:
                self._keep_ok(record)
        self._times.update(times)
        self._failed_times.update(failed_times)
        self._count_rest(records)

    def _count_rest(self, records: Sequence[Told]) -> None:
        """Count what costs less apart."""
        self._retried += sum([record.attempts > 1 for record in records])
        self._redirected += sum([record.redirects > 0 for record in records])
        for record in records:
            if record.change is not None and record.change != Change.SAME:
                self._note_change(record.change, record.url)
        self._steps.add([record.timings for record in records])

    def _second(self, text: str) -> float | None:
        try:
            second = datetime.fromisoformat(f"{text}+00:00").timestamp()
        except ValueError:
            return None
        if self._origin is None:
            self._origin = second - 1.0  # no time is 0 then, which would count as none
        if len(self._seconds) >= _SECONDS_KEPT:
            self._seconds.clear()
        self._seconds[text] = second - self._origin
        return second - self._origin

    def _host_of(self, origin: str) -> str:
        """Return the key of the host that a URL begins with, and keep it; empty for none."""
        key = _host_key(origin)
        if len(self._host_keys) >= _ORIGINS_KEPT:
            self._host_keys.clear()
        if len(origin) < LONGEST_TEXT:
            self._host_keys[origin] = key
        return key

    def _label(self, record: Told) -> str:
        label = record.label or FailureKind.INTERNAL.value
        if label not in self._labels:
            if len(self._labels) >= _LABELS:
                return "other"
            label = clipped(label)
            self._labels.add(label)
        return label

    def _fail(self, record: Told, host: HostCounts | None) -> None:
        label = self._label(record)
        if host is not None:
            host.count_failure(label)
        reason = failure_reason(record.error, record.status, record.detail)
        if reason is not None:
            reason = clipped(reason)
        self._failures.add(label, reason, record.seq, partial(_line, record, label, reason))

    def _keep_ok(self, record: Told) -> None:
        assert self._ok_lines is not None
        self._ok_lines.append(_line(record, None, None))
        if len(self._ok_lines) > self._ok_most:
            self._ok_lines = None

    def _note_change(self, change: str, url: str) -> None:
        if change in Change.__members__.values():
            urls = self._changed.setdefault(change, [])
            if len(urls) < CHANGED:
                urls.append(clipped(url))

    def finish(self) -> Gathered:
        """Return what the records say."""
        times = self._times + self._failed_times
        hosts, more_hosts = self._hosts.rows(HOSTS)
        return Gathered(
            timeline=self._timeline.finish(self._origin or 0.0),
            whole=times_of(times, times.total(), self._total_s),
            steps=self._steps.times(),
            bars=_bars(self._times, self._failed_times),
            hosts=hosts,
            more_hosts=more_hosts,
            hosts_partial=self._hosts.partial,
            failures=self._failures.groups(),
            ok_lines=self._ok_lines,
            changed=self._changed,
            retried=self._retried,
            redirected=self._redirected,
        )


def clipped(text: str) -> str:
    """Return *text*, its middle left out where it is too long to be kept."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2
    return f"{text[:half]}…{text[1 - half :]}"


def _line(record: Told, label: str | None, reason: str | None) -> Line:
    source = None if record.source is None else clipped(record.source)
    if source is None:
        place: str | None = f"line {record.seq}"
    elif source.lower().startswith(("http://", "https://")):
        place = None
    else:
        place = f"{'(standard input)' if source == '-' else source}:{record.line}"
    return Line(record.seq, place, clipped(record.url), reason, label, source, record.elapsed_s)


def _host_key(url: str) -> str:
    """Return the key of a URL's host; empty where it has none."""
    found = _ORIGIN.match(url)
    if found is not None and len(found[1]) <= 63 and "xn--" not in found[1]:
        return found[1]
    try:
        return parse_url(url).host_key
    except InvalidURLError:
        return ""


def _bars(ok: Counter[int], failed: Counter[int]) -> list[Bar]:
    """Return the buckets of `FINE` as bars, each of twenty: a fifth longer than the one before."""
    step = 20
    counts: dict[int, list[int]] = {}
    for place, each in enumerate((ok, failed)):
        for number, count in each.items():
            counts.setdefault(number // step, [0, 0])[place] += count
    if not counts:
        return []
    first, last = min(counts), max(counts)
    beside = max(0, _FEWEST_BARS - (last - first)) // 2  # an axis needs some width
    numbers = range(first - beside, last + beside + 1)
    return [Bar(exp((n + 1) * step / FINE), *counts.get(n, (0, 0))) for n in numbers]
