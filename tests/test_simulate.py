"""`benchmarks/simulate.py`: small lists, of which the answer is known."""

from __future__ import annotations

from math import inf
from pathlib import Path
from statistics import mean

import pytest

from benchmarks.simulate import (
    FREE,
    NONE,
    SHAPES,
    TEN,
    Hosts,
    Limits,
    Shape,
    Size,
    bound,
    in_turns,
    longest_first,
    report,
    times,
)

SMALL = Size(urls=1e6, exact=500, seeds=2)
SHAPE = Shape("some", 0.9, 5000)


@pytest.mark.parametrize("limits", [TEN, FREE, NONE])
@pytest.mark.parametrize("machines", [1, 3, 16])
def test_every_way_does_all_urls_and_none_is_faster_than_the_bound(
    limits: Limits, machines: int
) -> None:
    hosts = Hosts(SHAPE, limits, SMALL)
    assert sum(hosts.urls) + hosts.rest == pytest.approx(SMALL.urls)
    assert sum(crowd.all_urls for crowd in hosts.crowds) == pytest.approx(SMALL.urls)
    assert sum(crowd.hosts for crowd in hosts.crowds) == SHAPE.hosts
    least = bound(hosts, machines, SMALL) * (1 - 1e-9)
    for split in (False, True):
        each = times(hosts, machines, SMALL, 1, split=split)
        assert max(each) >= least
        assert mean(each) >= SMALL.urls / machines / SMALL.rate * (1 - 1e-9)
        assert in_turns(each, machines) == max(each)
    assert longest_first(hosts, machines, SMALL) >= least


def test_biggest_host_decides_where_hosts_have_limits() -> None:
    hosts = Hosts(SHAPE, TEN, SMALL)
    alone = hosts.urls[0] / 20  # 10 at once, half a second each
    assert max(times(hosts, 16, SMALL, 1, split=False)) == pytest.approx(alone)
    assert bound(hosts, 16, SMALL) == pytest.approx(alone)
    assert sum(times(hosts, 128, SMALL, 1, split=False)) > 2 * alone  # one after another


def test_host_without_a_limit_must_be_divided() -> None:
    hosts = Hosts(SHAPE, NONE, SMALL)
    assert hosts.paces[0] == inf
    whole = max(times(hosts, 64, SMALL, 1, split=False))
    parts = max(times(hosts, 64, SMALL, 1, split=True))
    assert whole > 2 * parts
    assert parts == pytest.approx(SMALL.urls / 64 / SMALL.rate)


@pytest.mark.parametrize("shape", SHAPES)
def test_document_has_the_bounds_that_come_out(shape: Shape) -> None:
    text = (Path(__file__).parents[1] / "docs" / "scale" / "planning.md").read_text()
    size = Size()
    hours = bound(Hosts(shape, TEN, size), 64, size) / 3600
    assert f"| {shape.name}, per-host 10 | 64 | {hours:.1f} h | 2.2 h | 1.00 | 1.00 |" in text


def test_report_is_the_same_each_time() -> None:
    tiny = Size(urls=1e5, exact=100, seeds=1)
    text = report(tiny)
    assert text == report(tiny)
    rows = [line for line in text.splitlines() if line.startswith("| image, no limits")]
    assert [row.split(" | ")[1] for row in rows] == ["16", "64", "256"]
    assert "nan" not in text
