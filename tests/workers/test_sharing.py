"""Shares: they add up to the whole, and every host has one owner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.config import Config
from fetchpool.scaling.sharing import owner, shares, worker_count
from fetchpool.scheduling.rate_limit import BURST_S


@given(workers=st.integers(1, 64), limit=st.integers(1, 5000), rate=st.floats(0.01, 1e5))
def test_shares_add_up_to_the_limits(workers: int, limit: int, rate: float) -> None:
    parts = shares(Config(workers=workers, limit=limit, rate=rate), limit)
    assert sum(part.limit for part in parts) == limit
    assert sum(part.rate for part in parts) == pytest.approx(rate)
    assert min(part.limit for part in parts) >= 1
    assert len(parts) == min(workers, limit, max(1, int(rate * BURST_S)))
    # What may start at once: see `RateLimit`.
    assert sum(max(1, part.rate * BURST_S) for part in parts) <= max(1, rate * BURST_S) + 1e-6


@given(key=st.text(min_size=1), count=st.integers(1, 64))
def test_every_host_has_one_owner(key: str, count: int) -> None:
    parts = shares(Config(workers=count), 100)
    assert [part.index for part in parts if part.owns(key)] == [owner(key, count)]


def test_host_without_a_limit_of_its_own_is_everybodys() -> None:
    assert all(part.owns("h") for part in shares(Config(workers=3, per_host=0), 100))
    limited = shares(Config(workers=3, per_host=0, host_rate=5), 100)
    assert sum(part.owns("h") for part in limited) == 1


def test_hosts_that_share_cookies_have_one_worker() -> None:
    parts = shares(Config(workers=4, per_host=0, save_cookies="jar"), 100)
    names = [f"h{number}.example.co.uk:{8000 + number}" for number in range(50)]
    assert len({parts[0].owner(name) for name in names}) == 1
    assert [part.index for part in parts if part.owns(names[0])] == [parts[0].owner(names[1])]
    others = {parts[0].owner(f"h.example-{number}.co.uk") for number in range(50)}
    assert others == {0, 1, 2, 3}


def test_no_worker_is_without_a_request_to_make() -> None:
    assert worker_count(Config(workers=8, limit=3)) == 3
    assert worker_count(Config(workers=8, limit=0)) == 8
    assert worker_count(Config(workers=0)) >= 1
