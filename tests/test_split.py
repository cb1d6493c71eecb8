"""Which shard a line belongs to: by its host, evenly, the same on every way that leads there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.shards import Shard, shard_named
from fetchpool.model.split import Split, host_in_line, shard_of
from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.model.values import Request

ALL = 7
GOLDEN = [17, 30, 33, 35, 44]

LABEL = st.text("abz019-_", min_size=1, max_size=12)
HOST = st.one_of(
    st.lists(st.one_of(LABEL, st.sampled_from(["xn--bcher-kva", "a" * 63, "0x7", "127", ""]))).map(
        ".".join
    ),
    st.sampled_from(["h.example", "H.Example", "h.example:8080", "h.example:80", "[::1]", "u@h.a"]),
    st.integers(50, 70).map("a".__mul__),
)
REST = st.one_of(
    st.text("/ab.%?#&=:@,;|\\ !'\"~^{}[]<>http", max_size=20),
    st.sampled_from([",http://b.example/", " # note", "//x", "/x,https:\\\\b", "?u=http://c.d/"]),
)
SCHEME = st.sampled_from(["http://", "https://", "HTTP://", "ftp://", ""])
END = st.sampled_from(["", " ", "\r", " \r"])
LINE = st.builds("{}{}{}{}".format, SCHEME, HOST, REST, END)


def host_by_parser(text: str) -> str | None:
    try:
        return parse_url(text).host_key
    except InvalidURLError:
        return None


@given(LINE.map(str.strip))
def test_host_of_a_line_is_the_parsers(line: str) -> None:
    assert host_in_line(line) == host_by_parser(line)


@given(st.lists(LINE | st.sampled_from(["", "# a comment", "'quoted'"]), max_size=8))
def test_a_line_that_is_passed_over_at_once_is_another_shards(lines: list[str]) -> None:
    split = Split([Shard(2, ALL), Shard(5, ALL)])
    maybe = split.maybe_own("\n".join(lines).encode())
    assert maybe is not None
    assert set(maybe) <= set(range(max(1, len(lines))))
    for number in set(range(len(lines))) - set(maybe):
        request = Request(lines[number].strip(" \r"))
        assert split.shard_of(request) not in (2, 5)
        assert host_by_parser(request.url) is not None


@given(st.lists(LINE.map(str.strip), max_size=20), st.integers(1, 9))
def test_each_line_is_exactly_one_shards(lines: list[str], count: int) -> None:
    requests = [Request(line, seq) for seq, line in enumerate(lines, 1)]
    parts = [Split([Shard(index, count)]).own_requests(requests) for index in range(count)]
    assert sorted(each.seq for part in parts for each in part) == list(range(1, len(lines) + 1))


@pytest.mark.parametrize("unlimited", [None, "h.example".__ne__, lambda host: False])
@given(LINE.map(str.strip))
def test_a_body_goes_where_the_record_of_its_line_goes(
    unlimited: Callable[[str], bool] | None, line: str
) -> None:
    split = Split([Shard(0, ALL)], has_limit=unlimited)
    try:
        target = parse_url(line)
    except InvalidURLError:
        return
    assert split.shard_of_target(target) == split.shard_of(Request(line))


def test_all_lines_of_a_host_are_one_shards_however_it_is_written() -> None:
    split = Split([Shard(0, 64)])
    ways = (
        "http://h.example/a",
        "https://H.example./b",
        "http://h.example:80/c",
        "https://h.example",
    )
    assert len({split.shard_of(Request(way)) for way in ways}) == 1


def test_lines_of_a_host_without_a_limit_are_divided_one_by_one() -> None:
    split = Split([Shard(0, 8)], has_limit="limited.example".__eq__)
    free = {split.shard_of(Request(f"http://free.example/{n}")) for n in range(200)}
    limited = {split.shard_of(Request(f"http://limited.example/{n}")) for n in range(200)}
    assert free == set(range(8))
    assert len(limited) == 1
    assert split.shard_of_host("free.example") is None
    assert not split.is_foreign("free.example")


def test_hosts_of_a_site_stay_together_where_they_share_cookies() -> None:
    split = Split([Shard(0, 64)], by_site=True)
    hosts = ("www.site.example", "a.b.site.example", "site.example")
    assert len({split.shard_of(Request(f"https://{host}/")) for host in hosts}) == 1
    assert split.maybe_own(b"https://www.site.example/") is None


def test_a_line_that_is_no_url_is_divided_by_what_it_says() -> None:
    split = Split([Shard(0, 8)])
    assert {split.shard_of(Request(f"no url {n}")) for n in range(200)} == set(range(8))
    broken = Request("http://h.example/", problem="a tab in the line")
    assert split.shard_of(broken) == shard_of(broken.url, 8)


def test_the_division_is_written_down_for_good() -> None:
    keys = ("example.org", "example.org:8080", "h.example", "[::1]", "no url")
    assert [shard_of(key, 64) for key in keys] == GOLDEN
    assert shard_of(b"example.org", 64) == shard_of("example.org", 64)


def test_name_of_a_directory_says_which_shard_it_is() -> None:
    assert Shard(3, 64).directory == "shard-00003-of-00064"
    assert shard_named("shard-00003-of-00064") == Shard(3, 64)
    assert shard_named("shard-3-of-64") is None
    assert str(Shard(3, 64)) == "3/64"


HOSTS = {
    "numbered": [f"host{n}.example.org" for n in range(10_000)],
    "padded": [f"www.a{n:05}.com" for n in range(10_000)],
    "ports": [f"10.0.0.1:{n}" for n in range(1024, 11_024)],
    "addresses": [f"10.{n // 256}.{n % 256}.7" for n in range(10_000)],
    "hexadecimal": [f"{n * 37:06x}.cdn.example" for n in range(10_000)],
}
FIVE_SIGMA = 5.0


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize("count", [2, 3, 7, 16, 64, 100])
def test_hosts_are_divided_evenly(hosts: list[str], count: int) -> None:
    found = Counter(shard_of(host, count) for host in hosts)
    assert deviation(found.values(), len(hosts), count) < FIVE_SIGMA


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(("count", "workers"), [(2, 2), (16, 4), (64, 8), (16, 3), (7, 7), (3, 16)])
def test_workers_of_a_shard_get_even_parts_of_it(
    hosts: list[str], count: int, workers: int
) -> None:
    found = Counter(
        (shard_of(host, count), crc32(host.encode()) % workers)  # as scaling/sharing.owner
        for host in hosts
    )
    assert deviation(found.values(), len(hosts), count * workers) < FIVE_SIGMA


def deviation(counts: Iterable[int], total: int, cells: int) -> float:
    """Return by how many sigma *counts* are less even than chance (Wilson and Hilferty)."""
    expected = total / cells
    counted = list(counts)
    empty = cells - len(counted)
    chi = sum((each - expected) ** 2 / expected for each in counted) + empty * expected
    free = cells - 1
    return (math.cbrt(chi / free) - (1 - 2 / (9 * free))) / math.sqrt(2 / (9 * free))
