"""The list of failures as a person sees it: whole URLs, safe, bounded, on any terminal."""

from __future__ import annotations

import io

import msgspec
import pytest

from fetchpool.reporting.stats import FailedLine, FailureGroup, GivenUpHost
from fetchpool.reporting.terminal import Heading, Reporter
from fetchpool.reporting.terminal.failures import failure_lines, where_all_are
from fetchpool.reporting.terminal.plain import bounds, end_line, first_failures, no_line_is_a_url
from fetchpool.reporting.terminal.progress import render
from fetchpool.reporting.terminal.summary import render_summary
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE
from tests.test_report_progress import RUNNING
from tests.test_report_summary import CLEAN, DONE

GONE = FailureGroup(
    "404",
    None,
    120,
    (FailedLine(9, "line 9", "http://h/a"), FailedLine(17, "line 17", "http://h/b")),
    2,
)
CUT = FailureGroup(
    "truncated",
    None,
    2,
    (FailedLine(3, "a.txt:3", "http://h/c", "1 of 2"), FailedLine(4, None, "http://h/d", "3 of 4")),
    2,
)
UNLISTED = FailureGroup("dns", "no such name", 4, (), 0)
GROUPS = [GONE, CUT, UNLISTED]
SOME = msgspec.structs.replace(DONE, failed_records="jq it")


def test_groups_are_heads_with_lines_below() -> None:
    assert [line for line, _ in failure_lines(GROUPS, UNICODE)] == [
        "404 (120)",
        "  line  9  http://h/a",
        "  line 17  http://h/b",
        "  and 118 more",
        "truncated (2)",
        "  a.txt:3  http://h/c (1 of 2)",
        "  http://h/d (3 of 4)",
    ]


def test_lines_that_are_read_as_they_are_shown_are_not_gathered_first() -> None:
    taken = 0

    class Endless:
        def __iter__(self) -> Endless:
            return self

        def __next__(self) -> FailedLine:
            nonlocal taken
            taken += 1
            return FailedLine(taken, f"line {taken}", "http://h/")

    lines = failure_lines([FailureGroup("404", None, 10**9, Endless(), 10**9)], UNICODE)
    shown = [next(lines)[0] for _ in range(3)]
    assert shown == ["404 (1,000,000,000)", "  line    1  http://h/", "  line    2  http://h/"]
    assert taken == 2


def test_quiet_report_of_a_failed_run_names_them() -> None:
    stream = io.StringIO()
    with Reporter(stream, quiet=True, environ={}) as reporter:
        reporter.finish(DONE, GROUPS)
    assert "    line 17  http://h/b\n" in stream.getvalue()
    stream = io.StringIO()
    with Reporter(stream, quiet=True, environ={}) as reporter:
        reporter.error("the disk is full")
        reporter.finish(DONE, GROUPS)
    assert stream.getvalue().startswith("fetchpool: the disk is full\n  404 (120)\n")
    stream = io.StringIO()
    with Reporter(stream, quiet=True, environ={}) as reporter:
        reporter.finish(CLEAN, GROUPS)
    assert stream.getvalue() == ""


def test_screen_has_them_between_figures_and_next_steps() -> None:
    text = "\n".join(line.plain for line in render_summary(SOME, 80, UNICODE, GROUPS))
    assert (
        text.index("slowest hosts")
        < text.index("404 (120)\n  line  9")
        < text.index("failures jq it")
        < text.index("again ")
    )


def test_where_all_are_is_told_only_if_some_are_left_out() -> None:
    assert where_all_are(GROUPS, SOME) == "jq it"
    everything = msgspec.structs.replace(GONE, count=211, listed=211)
    assert where_all_are([everything], SOME) is None
    assert where_all_are([], SOME) is None


def test_list_of_nothing_but_other_lines_is_told() -> None:
    nothing = msgspec.structs.replace(DONE, total=2, ok=0, failed={"input": 2})
    told = "none of the 2 lines is an http(s) URL"
    assert no_line_is_a_url(nothing) == told
    assert end_line(nothing, UNICODE) == (
        f"fetchpool: {told}; 0 ok, 2 failed (input 2), 15.3 s, 66.1 MB, exit 1"
    )
    for width in (20, 40, 80):
        lines = [line.plain for line in render_summary(nothing, width, UNICODE)]
        assert " ".join(lines[: lines.index("")]) == f"N{told[1:]}."
        assert max(map(len, lines[: lines.index("")])) <= width
        assert not any(line.startswith("failed") for line in lines)
    alone = msgspec.structs.replace(nothing, total=1, failed={"input": 1})
    assert no_line_is_a_url(alone) == "the only line is no http(s) URL"
    assert no_line_is_a_url(DONE) is None
    assert no_line_is_a_url(msgspec.structs.replace(nothing, failed={"input": 1})) is None


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_hostile_lines_and_reasons_are_harmless_and_short(glyphs: object) -> None:
    evil = "\x1b[31m[/red]\u202e\n" * 200
    group = FailureGroup(evil, evil, 2, (FailedLine(1, evil, evil, evil),), 1)
    summary = msgspec.structs.replace(DONE, given_up=(GivenUpHost(evil, 3, evil),))
    lines = [line.plain for line in render_summary(summary, 80, glyphs, [group])]  # type: ignore[arg-type]
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 1000
    if glyphs is ASCII:
        assert all(line.isascii() for line in lines)


@pytest.mark.parametrize("width", [1, 20, 40, 80])
def test_hosts_given_up_stand_in_a_table_that_fits(width: int) -> None:
    rows = (
        GivenUpHost("dead.example.org", 812, "the last 8 attempts failed, the latest: refused"),
        GivenUpHost("x" * 300, 1, "503"),
    )
    summary = msgspec.structs.replace(DONE, given_up=rows, given_up_hosts=9)
    lines = [line.plain for line in render_summary(summary, width, UNICODE)]
    assert "and 7 more" in lines
    if width == 80:
        (row,) = (line for line in lines if line.startswith("dead.example.org"))
        assert row.split()[1] == "812"
        assert row.endswith("refused")
    begin = next(n for n, line in enumerate(lines) if line.startswith("hosts given up"))
    table = lines[begin : lines.index("and 7 more")]
    assert all(len(line) <= max(width, 30) for line in table)
    assert "refused" in "".join(table)


# -- what is cut is marked, what bounds a run is said


def test_kinds_that_are_left_out_leave_a_mark() -> None:
    rows = [("404", 2), ("500", 1), ("dns", 1)]
    assert first_failures(rows, 2, UNICODE) == "404 2, 500 1, …"
    assert first_failures(rows, 3, UNICODE) == "404 2, 500 1, dns 1"
    assert first_failures(rows, 1, ASCII) == "404 2, ..."


@pytest.mark.parametrize("width", range(60, 130))
def test_kinds_of_the_display_end_with_a_mark_unless_all_are_there(width: int) -> None:
    failed = {"404": 81, "timeout": 20, "dns": 1, "tls": 1}
    line = render(msgspec.structs.replace(RUNNING, failed=failed), Heading("a"), width, UNICODE)[2]
    assert line.cell_len <= width
    if ":" in line.plain:
        assert line.plain.endswith(", …")


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        (Heading("a", None, 50, 10), "50 at once, 10 per host"),
        (Heading("a", None, 50, 0, rate=5), "50 at once, 5/s"),
        (Heading("a", None, 1000, 0, rate=0.5, host_rate=2), "1,000 at once, 0.5/s, 2/s per host"),
        (Heading("a", None, 1, 0, max_time_s=0.5), "1 at once, 500 ms at most"),
        (Heading("a", None, 1, 0, max_time_s=5400), "1 at once, 1 h 30 min at most"),
        (Heading("a", None, 1, 0, max_time_s=3600), "1 at once, 1 h at most"),
        (Heading("a", None, 1, 0, max_time_s=60), "1 at once, 1 min at most"),
    ],
)
def test_what_bounds_the_run_is_said_in_one_way(heading: Heading, said: str) -> None:
    assert ", ".join(bounds(heading)) == said
    stream = io.StringIO()
    Reporter(stream, environ={}).start(heading)
    assert stream.getvalue() == f"fetchpool: a, {said}\n"
    assert render(RUNNING, heading, 80, UNICODE)[0].plain.endswith(f"   {said}")


@pytest.mark.parametrize("width", range(60, 100))
def test_bounds_that_find_no_room_leave_a_mark(width: int) -> None:
    heading = Heading("urls.txt", "urls.fetched", 50, 10, rate=5, host_rate=2, max_time_s=3600)
    title = render(RUNNING, heading, width, UNICODE)[0].plain
    assert len(title) <= width
    assert title.endswith(("1 h at most", ", …"))
