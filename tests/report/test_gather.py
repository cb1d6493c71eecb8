"""What a report gathers of the records: counts that add up, in memory that stays small."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.record import encode_all, rfc3339
from fetchpool.output.ledger.reported import read_reported
from fetchpool.reporting.report import slots
from fetchpool.reporting.report.gather import HOSTS, Gatherer
from fetchpool.reporting.report.hosts import HostCounter
from fetchpool.reporting.report.steps import ALL_UNTIL, EVERY, StepTimes
from fetchpool.reporting.report.timeline import MOMENTS, TimelineMaker
from fetchpool.reporting.report.values import Gathered, Timeline
from tests.report.making import BEGAN, account, make_dest, record, report_of


def gathered(records: Iterable[Record], listed: int = 100, ok_lines: int = 0) -> Gathered:
    gatherer = Gatherer(listed, ok_lines)
    entries = read_reported(encode_all(list(records)))
    gatherer.add([entry for entry in entries if entry is not None])
    return gatherer.finish()


def durations(timeline: Timeline) -> list[float]:
    """Return how long each moment is."""
    ends = [moment.at for moment in timeline.moments[1:]] + [timeline.seconds]
    return [end - moment.at for moment, end in zip(timeline.moments, ends, strict=True)]


# -- over time

RUNS = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 100), st.floats(0, 3e6)),
        st.one_of(st.floats(1e-6, 10), st.floats(1e-6, 1e5)),
        st.booleans(),
        st.integers(0, 10**9),
    ),
    min_size=1,
    max_size=600,
)


@given(RUNS)
def test_moments_add_up_to_the_run(urls: list[tuple[float, float, bool, int]]) -> None:
    maker = TimelineMaker()
    for began, elapsed_s, ok, size in urls:
        maker.add(began, elapsed_s, ok, size, 0)
    found = maker.finish(BEGAN)
    each = durations(found)
    assert all(seconds > 0 for seconds in each)
    assert len(found.moments) <= 2 * MOMENTS
    pairs = list(zip(found.moments, each, strict=True))
    assert sum(m.ok * s for m, s in pairs) == pytest.approx(sum(ok for _, _, ok, _ in urls))
    assert sum(m.failed * s for m, s in pairs) == pytest.approx(sum(not u[2] for u in urls))
    assert sum(m.wire_bytes * s for m, s in pairs) == pytest.approx(sum(u[3] for u in urls))
    # URLs in progress times time is the time of all URLs.
    in_all = sum(elapsed for _, elapsed, _, _ in urls)
    assert sum(m.running * s for m, s in pairs) == pytest.approx(in_all, rel=1e-6, abs=1e-3)
    assert sum(stretch.urls for stretch in found.stretches) == len(urls)
    assert sum(stretch.seconds for stretch in found.stretches) == pytest.approx(found.seconds)


def test_pause_of_days_is_left_out() -> None:
    night = [record(seq, elapsed_s=0.5) for seq in range(1, 101)]  # ten seconds
    next_night = [
        record(seq, started_at=rfc3339(BEGAN + 86_400 + seq / 10)) for seq in range(101, 201)
    ]
    timeline = gathered(night + next_night).timeline
    first, second = timeline.stretches
    assert (first.urls, second.urls) == (100, 100)
    assert first.began_at == pytest.approx(BEGAN, abs=1)
    assert second.began_at == pytest.approx(BEGAN + 86_410, abs=1)
    assert timeline.seconds < 30


def test_url_that_takes_long_is_in_progress_all_the_while() -> None:
    slow = record(1, started_at=rfc3339(BEGAN), elapsed_s=600.0)
    timeline = gathered([slow, *(record(seq) for seq in range(2, 100))]).timeline
    assert len(timeline.stretches) == 1
    assert timeline.moments[-2].running == pytest.approx(1.0)
    assert timeline.moments[-2].ok == 0


def test_times_that_no_calendar_has_are_left_out() -> None:
    odd = [record(seq, started_at=text) for seq, text in enumerate(("", "soon", "9" * 40), 1)]
    assert gathered(odd).timeline.moments == ()
    assert gathered(odd).whole is None
    assert gathered([*odd, record(4, started_at=None), record(5)]).timeline.stretches[0].urls == 1


# -- times


def test_percentiles_and_bars_are_those_of_the_times() -> None:
    times = [0.001 * 1.01**number for number in range(1000)]
    found = gathered(record(seq, elapsed_s=each) for seq, each in enumerate(times, 1))
    assert found.whole is not None
    assert found.whole.count == 1000
    for share, value in ((500, found.whole.p50), (900, found.whole.p90), (990, found.whole.p99)):
        assert value == pytest.approx(times[share], rel=0.016)
    assert sum(bar.ok for bar in found.bars) == 1000
    below = sum(bar.ok for bar in found.bars if bar.up_to_s <= times[600])
    assert below == pytest.approx(600, abs=25)


def test_steps_are_told_where_records_have_them() -> None:
    line = encode(record(1)).rstrip()[:-1] + b',"timings":{"dns":0.5,"first_byte":2.0}}\n'
    gatherer = Gatherer(10)
    gatherer.add([entry for entry in read_reported(line * 3) if entry is not None])
    steps = gatherer.finish().steps
    assert sorted(steps) == ["dns", "first_byte"]
    assert steps["dns"].p90 == pytest.approx(0.5, rel=0.01)
    assert steps["first_byte"].count == 3
    assert gathered([record(1)]).steps == {}


def test_steps_of_very_many_records_are_those_of_some() -> None:
    times = StepTimes()
    for block in range(100):
        seqs = range(block * 1000, block * 1000 + 1000)
        # Slower and slower: who looked at the first ones only would be wrong.
        times.add([Raw(b'{"body":%f}' % (0.001 * 1.0001**seq)) for seq in seqs])
    found = times.times()["body"]
    assert found.p50 == pytest.approx(0.001 * 1.0001**50_000, rel=0.03)
    assert found.p99 == pytest.approx(0.001 * 1.0001**99_000, rel=0.03)
    assert found.count == pytest.approx(ALL_UNTIL + (100_000 - ALL_UNTIL) / EVERY, abs=1)


# -- hosts


def test_hosts_have_their_urls_failures_bytes_and_times() -> None:
    records = [record(seq, "https://a.example/x", elapsed_s=1.0) for seq in range(1, 6)]
    records += [record(6, "http://B.example:80/y", label="404", elapsed_s=3.0)]
    records += [record(7, "http://b.example/", label="timeout"), record(8, "no url", label="input")]
    records += [record(9, "http://user:pw@b.example/?q", label="404")]
    records += [record(10, "https://a.example:8443/x")]
    records += [record(11, "https://a.exampld"), record(12, "https://a.examplf")]
    worst, best, *others = gathered(records).hosts
    assert [row.host for row in others] == ["a.exampld", "a.example:8443", "a.examplf"]
    assert (worst.host, worst.urls, worst.failures) == ("b.example", 3, 3)
    assert worst.failed == (("404", 2), ("timeout", 1))
    assert (best.host, best.urls, best.failures, best.wire_bytes) == ("a.example", 5, 0, 2500)
    assert best.p50_s == pytest.approx(1.0, rel=0.06)


def test_table_of_hosts_stays_small_and_keeps_the_worst() -> None:
    counter = HostCounter(capacity=10)
    for number in range(1000):
        host = f"h{number}.example"
        counts = counter.counts.get(host) or counter.enter(host)
        counts.urls += 1
        if number % 100 == 0:
            counts.count_failure("404")
        assert len(counter.counts) <= 20
    rows, more = counter.rows(5)
    assert [row.failures for row in rows] == [1] * 5
    assert len(rows) + more == 1000
    assert rows[-1].partial


def test_memory_does_not_grow_with_hosts_labels_or_failures() -> None:
    def block(start: int) -> bytes:
        return encode_all(
            [
                record(
                    seq, f"https://host-{seq}.example.org/{seq}", label="connect", detail="x" * 3000
                )
                for seq in range(start, start + 500)
            ]
        )

    gatherer = Gatherer(50)
    tracemalloc.start()
    try:
        sizes = []
        for start in range(1, 20_000, 500):
            data = block(start).replace(b'"connect"', b'"kind %d"' % start)
            gatherer.add([entry for entry in read_reported(data) if entry is not None])
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(sizes[20:]) < 1.35 * max(sizes[:20]), sizes
    found = gatherer.finish()
    assert len(found.hosts) == HOSTS
    assert sum(group.count for group in found.failures) == 20_000
    assert sum(group.listed for group in found.failures) == 50


# -- lines


def test_failures_are_grouped_by_what_was_wrong() -> None:
    records = [record(seq, label="404") for seq in (1, 2, 3)]
    records += [record(seq, label="dns", detail=f"no address for 'h{seq}'") for seq in (4, 5)]
    by_404, by_dns = gathered(records, listed=4).failures
    assert (by_404.label, by_404.reason, by_404.count) == ("404", None, 3)
    assert [line.place for line in by_404.lines] == ["line 1", "line 2"]
    assert (by_dns.label, by_dns.count) == ("dns", 2)


def test_lines_that_are_ok_are_kept_while_they_are_few() -> None:
    records = [record(seq) for seq in range(1, 6)]
    kept = gathered(records, ok_lines=5).ok_lines
    assert kept is not None
    assert [line.seq for line in kept] == [1, 2, 3, 4, 5]
    assert gathered(records, ok_lines=4).ok_lines is None
    assert gathered(records).ok_lines is None


def test_changes_are_listed_but_not_what_is_the_same_or_unknown() -> None:
    changes = ["new", "changed", "same", "gone", "new", "<b>"]
    lines = b"".join(
        encode(record(seq)).rstrip()[:-1] + b',"change":"%b"}\n' % change.encode()
        for seq, change in enumerate(changes, 1)
    )
    gatherer = Gatherer(1)
    gatherer.add([entry for entry in read_reported(lines) if entry is not None])
    assert {name: len(urls) for name, urls in gatherer.finish().changed.items()} == {
        "new": 2,
        "changed": 1,
        "gone": 1,
    }


def test_what_counting_takes_for_a_record_is_one_here_too(tmp_path: Path) -> None:
    good = encode(record(1))
    odd = encode(record(2, label="404")).replace(b'"attempts":1', b'"attempts":"many"')
    dest = make_dest(tmp_path / "d", damage=good + b"\0\0\n" + odd + b"{}\n" + good[:40])
    report = report_of(dest)
    assert (report.records, report.ok, report.failures, report.damaged) == (2, 1, 1, 2)
    assert report.gathered.hosts[0].urls == 2


# -- the account


def test_parts_of_all_commands_add_up() -> None:
    parts = slots.parts_of([account(), account()])
    assert {part.name: part.seconds for part in parts} == {
        "first_byte": 110.0,
        "per_host": 70.0,
        "tail": 20.0,
    }
    assert sum(part.share for part in parts) == pytest.approx(1.0)
    assert [part.doing for part in parts] == [True, False, False]


def test_slots_over_time_fill_all_slots_one_command_after_the_other() -> None:
    found = slots.over_time([account(), account(seconds=5.0, samples=[])])
    assert found is not None
    assert [span.at for span in found.spans] == [0.0, 5.0, 10.0]
    assert [sum(span.slots.values()) for span in found.spans] == pytest.approx([10.0, 10.0, 20.0])
    assert found.spans[1].slots["tail"] == pytest.approx(2.0)
    assert found.starts == [10.0]
    assert slots.over_time([]) is None
