"""Connections, idle ones, bodies and directories together never ask for more than there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.network import descriptors as room
from fetchpool.network.descriptors import MOST, make_budget

UNLIMITED = -1


class FakeResource:
    """The limits of a process that doesn't exist."""

    RLIMIT_NOFILE = 7
    RLIM_INFINITY = UNLIMITED

    def __init__(self, soft: int, hard: int, *, refuses: type[Exception] | None = None) -> None:
        self.limits = (soft, hard)
        self.refuses = refuses
        self.raised = 0

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self.limits

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == self.RLIMIT_NOFILE
        assert limits[1] == self.limits[1], "the hard limit is not ours to change"
        assert limits[0] >= self.limits[0], "never lowered"
        if self.refuses is not None:
            raise self.refuses
        self.limits = limits
        self.raised += 1


def process(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, **options: Any) -> FakeResource:
    fake = FakeResource(soft, hard, **options)
    monkeypatch.setattr(room, "resource", fake)
    return fake


def test_soft_limit_is_raised_as_far_as_needed_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = process(monkeypatch, 256, 1_000_000)
    budget = make_budget(1000)
    assert (budget.limit, budget.idle, budget.warning) == (1000, 1000, None)
    assert 3000 < fake.limits[0] < 5000


def test_limit_that_is_high_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = process(monkeypatch, 100_000, 200_000)
    assert make_budget(100).warning is None
    assert fake.raised == 0


@pytest.mark.parametrize(("soft", "hard"), [(UNLIMITED, UNLIMITED), (1024, UNLIMITED)])
def test_no_hard_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    process(monkeypatch, soft, hard)
    assert (make_budget(4000).limit, make_budget(4000).warning) == (4000, None)


def test_without_such_limits_the_user_gets_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(room, "resource")
    assert make_budget(4000).limit == 4000
    assert make_budget(0).limit == MOST


@pytest.mark.parametrize("refuses", [ValueError, OSError])
def test_refused_raise_leaves_what_there_was(
    monkeypatch: pytest.MonkeyPatch, refuses: type[Exception]
) -> None:
    process(monkeypatch, 128, 4096, refuses=refuses)
    budget = make_budget(100)
    assert budget.limit < 100
    assert budget.warning is not None
    assert "only 128 files" in budget.warning


def test_fewer_at_a_time_is_said_once_with_what_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    process(monkeypatch, 64, 64)
    budget = make_budget(100)
    assert 1 <= budget.limit < 30
    assert budget.warning is not None
    assert budget.warning.startswith(
        f"only 64 files may be open at once: {budget.limit} requests at a time instead of 100."
    )
    needed = int(budget.warning.rpartition("ulimit -n ")[2].rstrip("'."))
    process(monkeypatch, needed, needed)
    assert make_budget(100).warning is None, "what it says to try is enough"


def test_who_asks_for_as_many_as_possible_is_not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    process(monkeypatch, 1024, 1024)
    budget = make_budget(0)
    assert 300 <= budget.limit < 1024
    assert budget.warning is None
    process(monkeypatch, 1024, UNLIMITED)
    assert make_budget(0).limit == MOST


@given(soft=st.integers(16, 20_000), more=st.integers(0, 20_000), asked=st.integers(0, 5000))
def test_budget_never_promises_more_than_there_is(soft: int, more: int, asked: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        fake = process(monkeypatch, soft, soft + more)
        budget = make_budget(asked)
        assert make_budget(asked) == budget, "the same again"
    available = fake.limits[0]
    assert 1 <= budget.limit <= (asked or MOST)
    assert budget.idle >= 0
    assert budget.directories >= 0
    # Two addresses are dialled at once, or a body is a second file beside its connection.
    assert budget.limit * 2 + budget.idle + budget.directories < available
    assert (budget.warning is not None) == (bool(asked) and budget.limit < asked)
