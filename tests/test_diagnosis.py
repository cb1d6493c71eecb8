"""What bound a run is told from its account, and advice is given only where that supports it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.slot_time import (
    DOING,
    FREE,
    PARTS,
    Connections,
    HostTime,
    Lookups,
    RunAccount,
    SlotTime,
)
from fetchpool.reporting.diagnosis import advice, bounds, in_words, summed


def account(
    parts: dict[str, float],
    *,
    busiest: float = 0.1,
    limits: dict[str, str] | None = None,
    hosts: list[HostTime] | None = None,
    processes: int = 1,
    **more: Any,
) -> RunAccount:
    whole = sum(parts.values())
    time = SlotTime(
        slots=100, slot_s=whole, parts=parts, busiest=busiest, hosts=hosts or [], **more
    )
    limits = {"limit": "100", "per_host": "10", "retries": "2", **(limits or {})}
    return RunAccount(0.0, whole / 100, time=time, limits=limits, processes=processes)


@pytest.mark.parametrize("part", [*DOING, *FREE])
def test_what_takes_most_of_the_time_is_named_first(part: str) -> None:
    found = bounds(account({"own": 5.0, "list": 5.0, part: 90.0}))
    assert found[0].key == part
    assert found[0].share >= 0.9


def test_a_busy_event_loop_is_named_before_all() -> None:
    first, second = bounds(account({"first_byte": 90.0, "own": 10.0}, busiest=0.97))[:2]
    assert (first.key, first.share, second.key) == ("cpu", 0.97, "first_byte")


def test_a_host_is_named_that_most_of_the_time_was_waited_for() -> None:
    big = HostTime("big.example", 10.0, {"per_host": 60.0})
    small = HostTime("small.example", 10.0, {"per_host": 10.0})
    whole = account({"per_host": 70.0, "first_byte": 30.0}, hosts=[small, big])
    assert bounds(whole)[0].text == "big.example at 10 per host"
    even = [HostTime(f"{number}.example", 1.0, {"per_host": 10.0}) for number in range(7)]
    whole = account({"per_host": 70.0, "first_byte": 30.0}, hosts=even)
    assert bounds(whole)[0].text == "hosts at 10 per host"


@pytest.mark.parametrize(
    ("whole", "cores", "option", "gain"),
    [
        (account({"per_host": 80.0, "first_byte": 20.0}), 8, "--per-host 20", 0.4),
        (account({"first_byte": 95.0, "own": 5.0}), 8, "--limit 200", 0.5),
        (account({"first_byte": 95.0, "own": 5.0}, busiest=0.98), 8, "--workers 0", 7 / 8),
        (account({"first_byte": 95.0, "own": 5.0}, busiest=0.98), 1, None, 0),
        (
            account({"first_byte": 95.0, "own": 5.0}, busiest=0.98, processes=8),
            8,
            None,
            0,
        ),
        (
            account(
                {"connect": 40.0, "tls": 20.0, "list": 15.0, "tail": 25.0},
                limits={"force_close": "yes"},
            ),
            8,
            "without --force-close",
            0.6,
        ),
        (
            account(
                {"connect": 20.0, "tls": 20.0, "tail": 60.0},
                connections=Connections(opened=10, closed_idle=9),
            ),
            8,
            "--keepalive 60",
            0.2,
        ),
        (account({"connect": 20.0, "tls": 20.0, "tail": 60.0}), 8, None, 0),
        (account({"rate": 90.0, "tail": 10.0}, limits={"rate": "5"}), 8, "--rate", 0.85),
        (account({"host_rate": 90.0, "tail": 10.0}), 8, None, 0),  # a robots.txt's
        (account({"retry": 90.0, "tail": 10.0}), 8, "--retries 1", 0.45),
        (account({"retry": 90.0, "tail": 10.0}, limits={"retries": "0"}), 8, None, 0),
        (account({"list": 90.0, "tail": 10.0}), 8, "", 0.85),
        (account({"dns": 50.0, "tail": 50.0}, lookups=Lookups(asked=9)), 8, "", 0.5),
        (account({"tail": 90.0, "gentle": 10.0}), 8, None, 0),
        (account({"paused": 90.0, "outage": 10.0}), 8, None, 0),
        (account({"per_host": 80.0, "tail": 20.0}, limits={"per_host": "auto"}), 8, None, 0),
    ],
)
def test_advice_names_the_option_and_what_it_may_bring(
    whole: RunAccount, cores: int, option: str | None, gain: float
) -> None:
    found = advice(whole, cores)
    if option is None:
        assert not found
        return
    assert found[0].option == option
    assert found[0].gain == pytest.approx(gain)
    assert in_words(found[0]).startswith(option)
    assert "%" in found[0].text
    assert "%" in found[0].evidence


@given(
    st.dictionaries(st.sampled_from(PARTS), st.floats(0, 1e6), min_size=1),
    st.floats(0, 1),
    st.integers(1, 64),
)
def test_whatever_an_account_says_advice_promises_no_more_than_all(
    parts: dict[str, float], busiest: float, cores: int
) -> None:
    whole = account(parts, busiest=busiest, limits={"rate": "1", "force_close": "yes"})
    assert all(0 < each.gain <= 1 for each in advice(whole, cores))
    assert all(0 < each.share <= 1.000001 for each in bounds(whole))


def test_commands_of_a_run_are_summed() -> None:
    first, second = account({"list": 10.0}), account({"list": 5.0, "tail": 5.0})
    second.ended = True
    both = summed([first, second])
    assert both.time.parts == {"list": 15.0, "tail": 5.0}
    assert (both.time.slots, both.time.slot_s, both.ended) == (100, 20.0, True)
    assert both.seconds == pytest.approx(0.2)
