"""The last screen: wide, narrow, and safe whatever the names."""

from __future__ import annotations

import msgspec
import pytest

from fetchpool.reporting.stats import ParkedHost, SlowHost, Summary, Times
from fetchpool.reporting.terminal.failures import end_details
from fetchpool.reporting.terminal.summary import render_summary
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE

DONE = Summary(
    exit_status=1,
    source="urls.txt",
    destination="urls.fetched",
    records="urls.fetched/results.jsonl",
    again="fetchpool get urls.txt --retry-failed",
    total=20_000,
    ok=19_789,
    failed={"404": 120, "403": 41, "timeout": 38, "dns": 12},
    kept=0,
    skipped=0,
    bytes=66_100_000,
    wire_bytes=66_100_000,
    received=66_100_000,
    elapsed_s=15.3,
    rate=1_307.0,
    first_byte=Times(0.031, 0.088, 1.2, 20_000, 900.0),
    whole=Times(0.044, 0.102, 1.9, 20_000, 1_200.0),
    connections_opened=412,
    requests=20_000,
    requests_reused=19_588,
    retries=312,
    parked=(ParkedHost("api.example.com", 28.0, "429"),),
    parked_hosts=1,
    slowest=(
        SlowHost("archive.example.org", 1_000, 962, 4.1, (("timeout", 38),)),
        SlowHost("api.example.com", 300, 300, 2.2),
    ),
)
CLEAN = msgspec.structs.replace(
    DONE, exit_status=0, ok=20_000, failed={}, again=None, slowest=(), parked=(), parked_hosts=0
)


def plain(summary: Summary, width: int = 80) -> list[str]:
    return [line.plain for line in render_summary(summary, width, UNICODE)]


def test_whole_screen_at_eighty_columns() -> None:
    assert (
        "\n".join(plain(DONE))
        == """\
20,000 URLs in 15.3 s   1,307/s   66.1 MB   → urls.fetched

ok         19,789   98.9 %      first byte   p50 31 ms  p90 88 ms   p99 1.2 s
failed        211    1.1 %      whole URL    p50 44 ms  p90 102 ms  p99 1.9 s
  404         120               connections  412 opened · 97.9 % of requests
  403          41                            reused one
  timeout      38               retries      312
  dns          12               parked       api.example.com 28 s in all (429)

slowest hosts          URLs    ok     p90   failed
archive.example.org   1,000   962   4.1 s   timeout 38
api.example.com         300   300   2.2 s

records  urls.fetched/results.jsonl
again    fetchpool get urls.txt --retry-failed"""
    )


ROBOTS = msgspec.structs.replace(
    CLEAN,
    delayed_hosts=3,
    longest_delay_s=90.0,
    sitemaps=("https://a.example/sitemap.xml", "https://b.example/\x1b[31m" + "x" * 300),
    sitemaps_in_all=12,
)


def test_what_robots_txt_say_beside_their_rules_is_shown() -> None:
    lines = plain(ROBOTS)
    assert any("crawl delay  up to 1 min 30 s at 3 hosts" in line for line in lines)
    at = lines.index("sitemaps named by robots.txt")
    assert lines[at + 1] == "  https://a.example/sitemap.xml"
    assert lines[at + 3] == "  and 10 more"
    assert list(end_details(ROBOTS, (), UNICODE))[:2] == [
        "crawl delay up to 1 min 30 s at 3 hosts",
        "sitemap https://a.example/sitemap.xml",
    ]
    assert "\x1b" not in "".join([*lines, *end_details(ROBOTS, (), UNICODE)])


@pytest.mark.parametrize("width", [40, 60, 78, 80, 120, 200])
@pytest.mark.parametrize("summary", [DONE, CLEAN, ROBOTS])
def test_all_but_what_is_copied_fits(summary: Summary, width: int) -> None:
    for line in plain(summary, width):
        assert len(line) <= width or line.startswith(("records", "again"))


def test_narrow_terminal_keeps_every_number() -> None:
    text = "\n".join(plain(DONE, 40))
    for word in ("20,000 URLs", "98.9 %", "timeout", "p99 1.9 s", "412 opened", "28 s", "4.1 s"):
        assert word in text


def test_run_without_failures_says_nothing_about_them() -> None:
    text = "\n".join(plain(CLEAN))
    assert "100 %" in text
    assert "slowest" not in text
    assert "again" not in text
    assert "parked" not in text


def test_stopped_run_says_how_to_go_on() -> None:
    stopped = msgspec.structs.replace(
        DONE, exit_status=130, stopped_by="Ctrl-C", total=12_204, expected=20_000, again=None
    )
    assert " ".join(plain(stopped)[-2:]) == (
        "stopped by Ctrl-C after 12,204 of 20,000. "
        "Nothing is lost: run the same command again to go on."
    )


def test_stopped_run_that_keeps_nothing_promises_nothing() -> None:
    stopped = msgspec.structs.replace(DONE, stopped_by="SIGTERM", destination=None, records=None)
    assert "Nothing is lost" not in "\n".join(plain(stopped))


def test_kept_and_skipped_lines_are_told() -> None:
    text = "\n".join(plain(msgspec.structs.replace(DONE, kept=12_204, skipped=3)))
    assert "12,204 kept from before" in text
    assert "3 blank, comment or header lines" in text


def test_list_without_a_url_is_one_line() -> None:
    empty = msgspec.structs.replace(CLEAN, total=0, ok=0, skipped=3)
    assert plain(empty) == [
        "no URL in urls.txt (3 blank, comment or header lines): nothing to fetch"
    ]


def test_many_kinds_of_failure_are_summed_up() -> None:
    failed = {str(status): 1 for status in range(400, 420)}
    lines = plain(msgspec.structs.replace(DONE, failed=failed))
    assert ["other", "13"] in [line.split()[:2] for line in lines]


def test_counts_that_may_miss_some_are_marked() -> None:
    rows = (SlowHost("a.example", 40, 40, 2.0, (), partial=True), SlowHost("b.example", 1, 1, 1.0))
    text = "\n".join(plain(msgspec.structs.replace(DONE, slowest=rows)))
    assert "40+" in text


@pytest.mark.parametrize("width", [40, 80])
def test_hostile_and_secret_texts_are_harmless(width: int) -> None:
    evil = "\x1b[31m[/red]\u202e\n"
    summary = msgspec.structs.replace(
        DONE,
        destination=evil,
        records=evil,
        stopped_by=evil,
        again="fetchpool get 'https://user:canary@h/?a&b'",
        slowest=(SlowHost(evil * 50, 9, 9, 4.0), SlowHost("b", 1, 1, 1.0)),
        parked=(ParkedHost(evil, 1.0, evil),),
    )
    text = "".join(plain(summary, width))
    assert text.isprintable()
    assert "canary" not in text
    assert "[/red]" in text


def test_ascii_terminal_gets_ascii_only() -> None:
    long = msgspec.structs.replace(DONE, slowest=(SlowHost("x" * 300, 9, 9, 4.0), DONE.slowest[1]))
    for width in (40, 80):
        assert all(line.plain.isascii() for line in render_summary(long, width, ASCII))


@pytest.mark.parametrize("width", range(1, 40))
def test_absurdly_narrow_terminal_is_no_error(width: int) -> None:
    assert plain(DONE, width)
    assert plain(msgspec.structs.replace(CLEAN, total=0, ok=0), width)
