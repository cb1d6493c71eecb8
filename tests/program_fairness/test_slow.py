"""A slow host is its own problem, wherever it stands in the list."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.program_fairness.hosts import all_ok, block, fetch, open_hosts


def test_slow_hosts_listed_first_get_no_more_than_their_share(tmp_path: Path) -> None:
    """Twelve slow hosts could fill all sixteen slots; in plain turns all they have goes first."""
    slow, fast = block(1, 12), block(2, 20)
    with open_hosts([*slow, *fast]) as hosts:
        hosts.slow_down(slow, 100, all_quick=2000)
        urls = hosts.urls(slow, 30) + hosts.urls(fast, 100)
        assert all_ok(fetch(tmp_path, urls, "--limit", "16", "--per-host", "2"))
        # A slot each, all the time, would be 12 × 2000/100 = 240, and twelve under way.
        assert hosts.slow_before_last_quick() <= 252


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_stuck_host_with_half_of_a_shuffled_list_delays_nobody(tmp_path: Path, pipe: bool) -> None:
    stuck, *others = block(3, 6)
    with open_hosts([stuck, *others]) as hosts:
        hosts.slow_down([stuck], 3000, all_quick=3000)
        lines = hosts.urls([stuck], 3000) + hosts.urls(others, 600)
        random.Random(5).shuffle(lines)
        assert all_ok(fetch(tmp_path, lines, "--limit", "8", "--per-host", "4", pipe=pipe))
        assert hosts.slow_before_last_quick() <= 4


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_stuck_host_at_the_front_of_a_sorted_list_delays_nobody(tmp_path: Path, pipe: bool) -> None:
    stuck, other = block(4, 2)
    with open_hosts([stuck, other]) as hosts:
        hosts.slow_down([stuck], 500, all_quick=500)
        lines = hosts.urls([stuck], 5000) + hosts.urls([other], 500)
        assert all_ok(fetch(tmp_path, lines, "--limit", "8", "--per-host", "4", pipe=pipe))
        assert hosts.slow_before_last_quick() <= 4


def test_more_slow_hosts_than_slots_get_no_more_than_their_share(tmp_path: Path) -> None:
    """Where not even each host can have a slot, slot time is what is shared, not turns."""
    slow, fast = block(5, 24), block(6, 8)
    with open_hosts([*slow, *fast]) as hosts:
        hosts.slow_down(slow, 50, all_quick=800, at_most_s=0.25)
        urls = hosts.urls(slow, 20) + hosts.urls(fast, 100)
        assert all_ok(fetch(tmp_path, urls, "--limit", "8", "--per-host", "2"))
        # In turns all of their 480 go before the last of the others.
        assert hosts.slow_before_last_quick() <= 240


def test_host_seen_for_the_first_time_gets_two_connections_until_it_answers(tmp_path: Path) -> None:
    (host,) = block(7, 1)
    with open_hosts([host]) as hosts:
        hosts.rules[host] = lambda hit: {"delay": "0.1"} if len(hosts.counts.hits) <= 10 else {}
        assert all_ok(fetch(tmp_path, hosts.urls([host], 60), "--per-host", "10"))
        first, _, third, *_ = hosts.counts.hits
        assert third.at - first.at >= 0.1
