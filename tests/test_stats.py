"""Counters of a run: exact counts, honest rates, memory that does not grow with the list."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import FailureKind, Outcome, Request
from fetchpool.reporting.stats import Ending, RunState, Stats, Summary, failure_label
from fetchpool.reporting.stats.hosts import GivenUpHost, GivenUpTable, HostTable, ParkedTable
from fetchpool.reporting.stats.speed import Speed

ENDED = Ending(exit_status=0)


def outcome(
    error: FailureKind | None = None,
    status: int | None = 200,
    elapsed_s: float = 0.05,
    started_at: float | None = 1.0,
    first_byte_s: float | None = 0.03,
) -> Outcome:
    return Outcome(
        request=Request("http://example.org/"),
        ok=error is None,
        status=status,
        error=error,
        detail=None,
        final_url=None,
        redirects=0,
        attempts=1,
        bytes=1_000,
        wire_bytes=400,
        content_type=None,
        path=None,
        sha256=None,
        started_at=started_at,
        elapsed_s=elapsed_s,
        first_byte_s=first_byte_s,
    )


def end(stats: Stats, now: float = 10.0) -> Summary:
    return stats.summary(now, ENDED)


@pytest.mark.parametrize(
    ("error", "status", "label"),
    [
        (None, 200, None),
        (FailureKind.STATUS, 404, "404"),
        (FailureKind.TIMEOUT, None, "timeout"),
        (FailureKind.TIMEOUT, 200, "timeout"),
        ("status", 503, "503"),
        ("status", None, "given up"),
    ],
)
def test_failure_is_counted_by_status_or_kind(
    error: FailureKind | str | None, status: int | None, label: str | None
) -> None:
    assert failure_label(error, status) == label


def test_every_outcome_is_counted_once_and_failures_come_by_frequency() -> None:
    stats = Stats(0.0)
    for _ in range(5):
        stats.outcome(outcome(), "a")
    stats.outcome(outcome(FailureKind.DNS, None), "b")
    for _ in range(2):
        stats.outcome(outcome(FailureKind.STATUS, 404), "a")
    summary = end(stats)
    assert (summary.total, summary.ok, summary.failures) == (8, 5, 3)
    assert list(summary.failed.items()) == [("404", 2), ("dns", 1)]
    assert (summary.bytes, summary.wire_bytes) == (8_000, 3_200)
    assert summary.rate == pytest.approx(0.8)


def test_kept_records_count_in_totals_but_not_in_the_rate() -> None:
    stats = Stats(0.0)
    stats.kept(ok=True, count=100)
    stats.kept(ok=False, label="404", count=3)
    stats.outcome(outcome(), "a")
    summary = end(stats)
    assert (summary.total, summary.ok, summary.kept) == (104, 101, 103)
    assert summary.failed == {"404": 3}
    assert summary.rate == pytest.approx(0.1)
    assert stats.snapshot(10.0, RunState()).rate == pytest.approx(0.1)


def test_line_that_was_never_tried_has_no_time_and_no_host() -> None:
    stats = Stats(0.0)
    stats.outcome(outcome(FailureKind.INPUT, None, 0.0, None, None), "")
    summary = end(stats)
    assert summary.failed == {"input": 1}
    assert summary.whole is None
    assert summary.first_byte is None


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=300))
def test_percentiles_are_within_one_percent(times: list[float]) -> None:
    stats = Stats(0.0)
    for seconds in times:
        stats.outcome(outcome(elapsed_s=seconds), "a")
    whole = end(stats).whole
    assert whole is not None
    exact = sorted(times)[math.floor(0.9 * (len(times) - 1))]
    assert whole.p90 == pytest.approx(exact, rel=0.0101)
    assert whole.count == len(times)
    assert whole.total_s == pytest.approx(sum(times))


@pytest.mark.parametrize("seconds", [0.0, -5.0, 1e-300, 1e300])
def test_absurd_times_are_counted_without_harm(seconds: float) -> None:
    stats = Stats(0.0)
    for host in ("a", "b"):
        stats.outcome(outcome(elapsed_s=seconds, first_byte_s=seconds), host)
    whole = end(stats).whole
    assert whole is not None
    assert 0 < whole.p50 < 2e6


def test_run_of_no_duration_has_no_rate() -> None:
    stats = Stats(5.0)
    stats.outcome(outcome(), "a")
    assert stats.summary(5.0, ENDED).rate == 0.0
    assert stats.snapshot(5.0, RunState(total=10)).left_s is None


def test_connections_and_reuse_are_counted() -> None:
    stats = Stats(0.0)
    assert end(stats).reused_share is None
    stats.connection_opened()
    stats.request_sent(reused=False)
    for _ in range(3):
        stats.request_sent(reused=True)
    stats.retried()
    stats.received_so_far(512)
    stats.line_skipped(2)
    summary = end(stats)
    assert (summary.connections_opened, summary.requests, summary.requests_reused) == (1, 4, 3)
    assert summary.reused_share == pytest.approx(0.75)
    assert (summary.retries, summary.received, summary.skipped) == (1, 512, 2)


def test_total_is_known_once_reading_has_ended() -> None:
    stats = Stats(0.0)
    stats.outcome(outcome(), "a")
    assert stats.snapshot(1.0, RunState(read=7)).known_total is None
    assert stats.snapshot(2.0, RunState(read=7, total=20)).known_total == 20
    assert stats.snapshot(3.0, RunState(read=7, reading=False)).known_total == 7
    assert stats.snapshot(4.0, RunState(read=0, total=0)).known_total == 1


def test_rate_follows_the_last_seconds_only() -> None:
    speed = Speed(0.0)
    for tick in range(1, 41):
        speed.sample(tick / 4, 25 * tick, 0)
    assert speed.rates()[0] == pytest.approx(100.0)
    for tick in range(41, 61):
        speed.sample(tick / 4, 1_000, 0)
    assert speed.rates()[0] == 0.0


def test_time_left_is_right_at_a_steady_rate_from_the_start() -> None:
    speed = Speed(0.0)
    speed.sample(0.5, 50, 0)
    assert speed.time_for(1_000) is None
    for tick in range(3, 200):
        speed.sample(tick / 2, 50 * tick, 0)
        assert speed.time_for(1_000) == pytest.approx(10.0)


def test_time_left_is_by_the_rate_of_now_where_only_slow_hosts_are_left() -> None:
    speed = Speed(0.0)
    for tick in range(1, 5):
        speed.sample(tick / 4, 750 * tick, 0)
    for tick in range(5, 30):  # ten a second from now on
        speed.sample(tick / 4, 3_000 + 10 * (tick - 4) // 4, 0)
    assert speed.time_for(90) == pytest.approx(9.0, rel=0.2)


def test_stall_of_a_second_is_not_taken_for_the_speed() -> None:
    speed = Speed(0.0)
    for tick in range(1, 41):
        speed.sample(tick / 4, 25 * tick, 0)
    for tick in range(41, 45):
        speed.sample(tick / 4, 1_000, 0)
    assert speed.time_for(1_000) == pytest.approx(10.0, rel=0.15)


def test_a_clock_that_stands_still_or_goes_back_changes_nothing() -> None:
    speed = Speed(10.0)
    speed.sample(12.0, 200, 2_000)
    speed.sample(12.0, 300, 3_000)
    speed.sample(9.0, 300, 3_000)
    assert speed.rates() == pytest.approx((100.0, 1_000.0))


def test_slowest_hosts_are_those_that_cost_most_time() -> None:
    stats = Stats(0.0)
    for index in range(1_000):
        stats.outcome(outcome(elapsed_s=0.05), f"fast{index % 10}")
    for _ in range(100):
        stats.outcome(outcome(elapsed_s=4.0), "slow")
    stats.outcome(outcome(FailureKind.TIMEOUT, None, 30.0), "lonely")
    rows = end(stats).slowest
    assert [(row.host, row.urls, row.ok) for row in rows] == [("lonely", 1, 0), ("slow", 100, 100)]
    assert rows[0].failed == (("timeout", 1),)
    assert rows[1].p90_s == pytest.approx(4.0, rel=0.06)


def test_nothing_is_slowest_where_all_are_alike_or_alone() -> None:
    alike, alone = Stats(0.0), Stats(0.0)
    for index in range(100):
        alike.outcome(outcome(elapsed_s=0.05), f"host{index % 7}")
        alone.outcome(outcome(elapsed_s=9.0), "only")
    assert end(alike).slowest == ()
    assert end(alone).slowest == ()


def test_host_table_stays_small_and_keeps_the_slow_one() -> None:
    table = HostTable(lambda: 0.05, capacity=10)
    for _ in range(20):
        table.add("slow", 5.0, None)
    for index in range(1_000):
        table.add(f"host{index}", 0.05, None)
        assert len(table) <= 20
    table.add("late", 9.0, "timeout")
    rows = {row.host: row for row in table.slowest(5)}
    assert (rows["slow"].urls, rows["slow"].partial) == (20, False)
    assert rows["late"].partial


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=100))
def test_p90_of_a_host_is_within_six_percent(times: list[float]) -> None:
    table = HostTable(lambda: 0.0)
    table.add("other", 1e-6, None)
    for seconds in times:
        table.add("host", seconds, None)
    p90 = next(row.p90_s for row in table.slowest(5) if row.host == "host")
    exact = sorted(times)[math.floor(0.9 * (len(times) - 1))]
    assert p90 == pytest.approx(exact, rel=0.06) or exact == 1e-6


def test_parked_times_add_up_and_the_longest_come_first() -> None:
    stats = Stats(0.0)
    stats.parked("a", 10.0, "503")
    stats.parked("b", 25.0, "429")
    stats.parked("a", 18.0, "429")
    summary = end(stats, 60.0)
    assert [(row.host, row.seconds, row.why) for row in summary.parked] == [
        ("a", 28.0, "429"),
        ("b", 25.0, "429"),
    ]
    assert summary.parked_hosts == 2


def test_no_host_was_parked_for_longer_than_the_run_lasted() -> None:
    stats = Stats(0.0)
    stats.parked("a", 120.0, "429")
    assert [row.seconds for row in end(stats, 7.0).parked] == [7.0]


def test_parked_table_stays_small_and_keeps_the_longest() -> None:
    table = ParkedTable(capacity=5)
    table.add("long", 300.0, "429")
    for index in range(100):
        table.add(f"host{index}", 1.0, "503")
    assert len(table.longest(1_000)) <= 10
    assert table.longest(1)[0].host == "long"
    assert len(table) == 101


def test_table_of_hosts_given_up_stays_small_and_keeps_those_that_cost_most() -> None:
    table = GivenUpTable(capacity=5)
    for _ in range(3):
        table.add("dead", "refused")
    for index in range(100):
        table.add(f"host{index}", "503")
    table.add("dead", "another reason")
    assert len(table.most(1_000)) <= 10
    assert table.most(1) == (GivenUpHost("dead", 4, "refused"),)
    assert len(table) == 101


def test_hosts_are_given_up_whose_urls_were_not_asked_for() -> None:
    stats = Stats(0.0)
    asked = outcome(FailureKind.CONNECT, None)
    unasked = msgspec.structs.replace(asked, attempts=0, detail="given up: refused")
    tried_before = msgspec.structs.replace(asked, attempts=2, detail="given up: refused")
    for each in (asked, unasked, tried_before):
        stats.outcome(each, "dead")
    stats.outcome(msgspec.structs.replace(unasked, detail="the proxy is away"), "other")
    stats.outcome(msgspec.structs.replace(unasked, error=FailureKind.BLOCKED), "refused.here")
    stats.outcome(msgspec.structs.replace(unasked, error=FailureKind.INPUT), "")
    summary = end(stats)
    assert summary.given_up == (
        GivenUpHost("dead", 2, "refused"),
        GivenUpHost("other", 1, "the proxy is away"),
    )
    assert summary.given_up_hosts == 2
