"""`Stats`: the counters of a run. No clock: *now* is an argument, monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import Final, TypeAlias

from msgspec.structs import asdict, replace

from fetchpool.model.hosts import Found
from fetchpool.model.robots import RobotsRead
from fetchpool.model.values import GIVEN_UP, Change, FailureKind, Outcome, failure_label
from fetchpool.model.versions import NOT_MODIFIED
from fetchpool.reporting.stats.hosts import GivenUpTable, HostTable, ParkedTable
from fetchpool.reporting.stats.speed import Speed
from fetchpool.reporting.stats.times import TimeSketch
from fetchpool.reporting.stats.values import Ending, ProxyUse, RunState, Snapshot, Summary

_ROWS: Final = 5

_REFUSED_HERE: Final = frozenset({FailureKind.INPUT, FailureKind.BLOCKED, FailureKind.INTERNAL})

_BATCH: Final = 256
"""Outcomes counted at once, at the latest."""


_Result: TypeAlias = tuple[str, str | None, float | None, float | None]
"""Host, label of the failure, seconds to the first byte, seconds in all."""


SURE_TO_FAIL_AGAIN: Final = frozenset({"input", "blocked", "too_big", "internal"})
"""Kinds about which another try of the same command changes nothing."""


def another_try_may_help(failed: Iterable[str]) -> bool:
    """Tell whether URLs with these labels may come to something else when they are tried again."""
    return any(label not in SURE_TO_FAIL_AGAIN for label in failed)


def failure_reason(
    error: FailureKind | str | None, status: int | None, detail: str | None
) -> str | None:
    """Return what there is to say of a failure beyond its label; None where that says it all.

    Of a line that is no URL that is what it shares with others of its kind (see `urls.mistakes`).
    """
    if error == FailureKind.INPUT and detail is not None:
        return detail.partition(": ")[0]
    if error == FailureKind.STATUS:
        return None if status is not None else _why_given_up(detail)
    return detail


def _why_given_up(detail: str | None) -> str | None:
    return None if detail is None else detail.removeprefix(f"{GIVEN_UP}: ")


class Stats:
    """Counters of one run that starts at *now*.

    Everything but `outcome` is one addition. Outcomes are counted by the batch, which takes half of
    the time; what is read is complete all the same.
    """

    def __init__(self, now: float) -> None:
        self._start = now
        self._ok = 0
        self._failed: dict[str, int] = {}
        self._changes: dict[str, int] = {}
        self._uncounted: list[_Result] = []
        self._answered = 0
        self._kept = 0
        self._skipped = 0
        self._bytes = 0
        self._wire_bytes = 0
        self._received = 0
        self._connections = 0
        self._requests = 0
        self._reused = 0
        self._retries = 0
        self._first_byte = TimeSketch()
        self._whole = TimeSketch()
        self._hosts = HostTable(self._whole.median)
        self._parked = ParkedTable()
        self._given_up = GivenUpTable()
        self._sitemaps: list[str] = []
        self._sitemaps_in_all = 0
        self._delayed_hosts = 0
        self._longest_delay_s = 0.0
        self._proxies: dict[str, ProxyUse] = {}
        self._found = Found()
        self._speed = Speed(now)

    def outcome(self, outcome: Outcome, host_key: str) -> None:
        """Count what became of a URL; *host_key* is empty for a line that names no host."""
        self._answered += 1
        if outcome.change is not None:
            self._count_change(outcome.change, 1)
        if outcome.status != NOT_MODIFIED or not outcome.ok:  # else it was there before
            self._bytes += outcome.bytes
        self._wire_bytes += outcome.wire_bytes
        if outcome.ok:
            label = None
            self._ok += 1
        else:
            label = failure_label(outcome.error or FailureKind.INTERNAL, outcome.status)
            self._count_failure(label, 1)
            if host_key and _is_given_up(outcome):
                self._given_up.add(host_key, _why_given_up(outcome.detail) or "")
        if outcome.proxy is not None:
            use = self._use_of(outcome.proxy)
            use.ok += outcome.ok
            use.failed += not outcome.ok
        elapsed_s = None if outcome.started_at is None else outcome.elapsed_s
        # Not the outcome itself: it may hold a body.
        self._uncounted.append((host_key, label, outcome.first_byte_s, elapsed_s))
        if len(self._uncounted) >= _BATCH:
            self._count_times()

    def _count_times(self) -> None:
        results, self._uncounted = self._uncounted, []
        self._first_byte.add([first for _, _, first, _ in results if first is not None])
        self._whole.add([elapsed for _, _, _, elapsed in results if elapsed is not None])
        for host_key, label, _, elapsed_s in results:
            if host_key:
                self._hosts.add(host_key, elapsed_s, label)

    def kept(self, ok: bool, label: str | None = None, count: int = 1) -> None:
        """Count URLs whose record of an earlier run stands: in the totals, not in the rates."""
        self._kept += count
        if ok:
            self._ok += count
        else:
            self._count_failure(label, count)

    def _count_change(self, change: str, count: int) -> None:
        self._changes[change] = self._changes.get(change, 0) + count

    def changes_kept(self, changes: Mapping[str, int]) -> None:
        """Count what had become of URLs whose record of a stopped run stands."""
        for change, count in changes.items():
            self._count_change(change, count)

    def _count_failure(self, label: str | None, count: int) -> None:
        name = label or FailureKind.INTERNAL.value
        self._failed[name] = self._failed.get(name, 0) + count

    def connection_opened(self) -> None:
        """Count a connection that was made."""
        self._connections += 1

    def request_sent(self, reused: bool) -> None:
        """Count a request (retries and hops too), and whether its connection had served before."""
        self._requests += 1
        self._reused += reused

    def requests_sent(self, count: int, reused: int) -> None:
        """Count *count* requests, *reused* of them on connections that had served before."""
        self._requests += count
        self._reused += reused

    def retried(self) -> None:
        """Count a further attempt after a passing fault."""
        self._retries += 1

    def received_so_far(self, count: int) -> None:
        """Record that *count* bytes of bodies have been received so far."""
        self._received = count

    def parked(self, host: str, seconds: float, why: str) -> None:
        """Count *seconds* during which nothing was sent to *host*, because of *why*."""
        self._parked.add(host, seconds, why)

    def robots_read(self, robots: RobotsRead) -> None:
        """Count what a robots.txt asks for: a pace, and to be told of sitemaps."""
        if robots.kept_delay_s is not None:
            self._delayed_hosts += 1
            self._longest_delay_s = max(self._longest_delay_s, robots.kept_delay_s)
        self._sitemaps += robots.sitemaps[: _ROWS - len(self._sitemaps)]
        self._sitemaps_in_all += robots.sitemaps_in_all

    def rested(self, proxy: str, seconds: float, why: str) -> None:
        """Count a rest of *proxy*."""
        self._use_of(proxy).rested += 1

    def _use_of(self, proxy: str) -> ProxyUse:
        use = self._proxies.get(proxy)
        if use is None:
            use = self._proxies[proxy] = ProxyUse(proxy)
        return use

    def line_skipped(self, count: int = 1) -> None:
        """Count lines that are blank or a comment."""
        self._skipped += count

    @property
    def answered(self) -> int:
        """URLs with an outcome of this command."""
        return self._answered

    def snapshot(self, now: float, state: RunState) -> Snapshot:
        """Return the run as it stands at *now*; to be asked a few times a second for good rates."""
        self._speed.sample(now, self._answered, self._received)
        rate, byte_rate = self._speed.rates()
        snapshot = Snapshot(
            **asdict(state),
            done=self._answered + self._kept,
            ok=self._ok,
            failed=self._by_frequency(),
            received=self._received,
            elapsed_s=now - self._start,
            rate=rate,
            byte_rate=byte_rate,
        )
        total = snapshot.known_total
        if total is None:
            return snapshot
        return replace(snapshot, left_s=self._speed.time_for(total - snapshot.done))

    def limits_found(self, found: Found) -> None:
        """Note what limits have come to that are found while running."""
        self._found = found

    def summary(self, now: float, ending: Ending) -> Summary:
        """Return the run that ended at *now* in numbers."""
        self._count_times()
        elapsed_s = now - self._start
        return Summary(
            **asdict(ending),
            total=self._answered + self._kept,
            ok=self._ok,
            failed=self._by_frequency(),
            kept=self._kept,
            skipped=self._skipped,
            bytes=self._bytes,
            wire_bytes=self._wire_bytes,
            received=self._received,
            elapsed_s=elapsed_s,
            rate=self._answered / elapsed_s if elapsed_s > 0 else 0.0,
            first_byte=self._first_byte.times(),
            whole=self._whole.times(),
            connections_opened=self._connections,
            requests=self._requests,
            requests_reused=self._reused,
            retries=self._retries,
            # Announced: a run that ended within a pause was held back no longer than it lasted.
            parked=tuple(
                replace(row, seconds=min(row.seconds, elapsed_s))
                for row in self._parked.longest(_ROWS)
            ),
            parked_hosts=len(self._parked),
            given_up=self._given_up.most(_ROWS),
            given_up_hosts=len(self._given_up),
            slowest=self._hosts.slowest(_ROWS),
            changes={each.value: self._changes.get(each, 0) for each in Change if self._changes},
            delayed_hosts=self._delayed_hosts,
            longest_delay_s=self._longest_delay_s,
            sitemaps=tuple(self._sitemaps),
            sitemaps_in_all=self._sitemaps_in_all,
            proxies=tuple(nlargest(_ROWS, self._proxies.values(), key=ProxyUse.rank)),
            proxies_used=len(self._proxies),
            found=self._found,
        )

    def _by_frequency(self) -> dict[str, int]:
        return dict(sorted(self._failed.items(), key=lambda item: (-item[1], item[0])))


def _is_given_up(outcome: Outcome) -> bool:
    """Tell whether a URL was not asked for (any more) as its host had been given up."""
    if outcome.error in _REFUSED_HERE:
        return False
    return not outcome.attempts or (outcome.detail or "").startswith(f"{GIVEN_UP}: ")
