"""Each time limit ends an exchange at its second, and none before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.http.watch import SPEED_WINDOW_S, Timeouts, Watch
from fetchpool.model.attempts import Timeline
from fetchpool.model.values import Phase

NO_LIMITS = Timeouts(connect_s=0.0, silence_s=0.0, min_speed=0.0)
TICK_S = 0.1


def watch(limits: Timeouts = NO_LIMITS, budget_s: float | None = None, now: float = 0.0) -> Watch:
    return Watch(limits, budget_s, now, None)


def connected(limits: Timeouts, *, first_byte_at: float | None = 0.0) -> Watch:
    """A watch whose connection was made, and first byte came, at second 0."""
    clock = watch(limits)
    clock.connected(0.0, "127.0.0.1", reused=False)
    if first_byte_at is not None:
        clock.received(1, first_byte_at)
    return clock


def test_without_limits_nothing_is_ever_overdue() -> None:
    clock = watch()
    assert clock.overdue(1e9) is None
    clock.connected(1e9, None, reused=False)
    assert clock.overdue(2e9) is None
    clock.received(1, 2e9)
    assert clock.overdue(3e9) is None


# --- connecting


def test_connecting_takes_too_long_at_its_limit() -> None:
    clock = watch(Timeouts(connect_s=10.0), now=5.0)
    assert clock.overdue(14.99) is None
    assert clock.overdue(15.0) == "no connection within 10 s"


def test_once_connected_the_connect_limit_is_over_and_silence_counts_from_there() -> None:
    clock = watch(Timeouts(connect_s=10.0, silence_s=30.0))
    clock.connected(9.0, "127.0.0.1", reused=True)
    assert clock.overdue(38.9) is None
    assert clock.overdue(39.0) == "no answer for 30 s"
    assert (clock.peer, clock.reused) == ("127.0.0.1", True)


def test_silence_limit_does_not_bound_the_connecting() -> None:
    clock = watch(Timeouts(connect_s=0.0, silence_s=1.0))
    assert clock.overdue(100.0) is None


# --- silence


def test_silence_counts_anew_from_each_byte() -> None:
    clock = connected(Timeouts(silence_s=30.0, min_speed=0.0))
    for now in (29.9, 59.8, 89.7):
        assert clock.overdue(now) is None
        clock.received(1, now)
    assert clock.overdue(119.6) is None
    assert clock.overdue(119.8) == "silence for 30 s"


def test_fractions_of_a_second_read_well() -> None:
    clock = connected(Timeouts(silence_s=0.5), first_byte_at=None)
    assert clock.overdue(0.5) == "no answer for 0.5 s"


# --- speed


def drip(clock: Watch, bytes_a_second: float, until: float, since: float = 0.0) -> float | None:
    """Let bytes come evenly, looked at with each tick; return when the speed was too low."""
    steps = round((until - since) / TICK_S)
    for step in range(1, steps + 1):
        now = since + step * TICK_S
        clock.received(0, now)
        before, after = (int(bytes_a_second * TICK_S * at) for at in (step - 1, step))
        if after > before:
            clock.received(after - before, now)
        verdict = clock.overdue(now)
        if verdict is not None:
            assert "bytes/s over the last 30 s" in verdict
            return now
    return None


@pytest.mark.parametrize("speed", [1.0, 32.0, 63.0])
def test_slower_than_the_least_speed_ends_after_half_a_minute(speed: float) -> None:
    ended = drip(connected(Timeouts(min_speed=64.0)), speed, until=200.0)
    assert ended is not None
    assert SPEED_WINDOW_S <= ended <= SPEED_WINDOW_S + 1.5


@pytest.mark.parametrize("speed", [66.0, 640.0, 1e6])
def test_faster_than_the_least_speed_goes_on_for_ever(speed: float) -> None:
    assert drip(connected(Timeouts(min_speed=64.0)), speed, until=400.0) is None


def test_a_fast_beginning_does_not_pay_for_a_slow_rest() -> None:
    clock = connected(Timeouts(min_speed=64.0))
    assert drip(clock, 1e6, until=100.0) is None
    ended = drip(clock, 10.0, since=100.0, until=300.0)
    assert ended is not None
    # The window still holds some of the fast bytes for its 30 s and a sample of one second.
    assert 100.0 + SPEED_WINDOW_S <= ended <= 100.0 + SPEED_WINDOW_S + 2.5


def test_a_slow_stretch_shorter_than_the_window_is_forgiven() -> None:
    clock = connected(Timeouts(min_speed=64.0))
    assert drip(clock, 300.0, until=60.0) is None
    assert drip(clock, 1.0, since=60.0, until=80.0) is None
    assert drip(clock, 300.0, since=80.0, until=150.0) is None


def test_speed_counts_from_the_first_byte_not_from_the_request() -> None:
    clock = connected(Timeouts(silence_s=0.0, min_speed=64.0), first_byte_at=None)
    assert clock.overdue(500.0) is None
    clock.received(1, 500.0)
    assert drip(clock, 1.0, since=500.0, until=529.0) is None
    assert drip(clock, 1.0, since=529.0, until=540.0) is not None


def test_memory_of_a_long_exchange_stays_small() -> None:
    clock = connected(Timeouts(min_speed=64.0))
    drip(clock, 1e4, until=600.0)
    assert clock._samples is not None
    assert len(clock._samples) <= SPEED_WINDOW_S + 3


# --- time in which we don't read


def test_while_nothing_is_read_only_the_budget_counts() -> None:
    clock = connected(Timeouts(silence_s=30.0, min_speed=64.0))
    clock.pause(1.0)
    assert clock.overdue(1e9) is None
    clock = watch(NO_LIMITS, budget_s=2.0)
    clock.connected(0.0, None, reused=False)
    clock.received(1, 0.0)
    clock.pause(1.0)
    assert clock.overdue(1.9) is None
    assert clock.overdue(2.0) == "took longer than --timeout allows"


def test_silence_counts_anew_when_we_read_again() -> None:
    clock = connected(Timeouts(silence_s=30.0, min_speed=0.0))
    clock.pause(1.0)
    clock.resume(500.0)
    assert clock.overdue(529.9) is None
    assert clock.overdue(530.0) == "silence for 30 s"


def test_speed_is_measured_over_the_time_in_which_we_read() -> None:
    clock = connected(Timeouts(silence_s=0.0, min_speed=64.0))
    assert drip(clock, 70.0, until=10.0) is None
    clock.pause(10.0)
    clock.resume(500.0)
    assert drip(clock, 70.0, since=500.0, until=600.0) is None
    assert drip(clock, 10.0, since=600.0, until=700.0) is not None


def test_pauses_do_not_excuse_a_slow_server() -> None:
    clock = connected(Timeouts(silence_s=0.0, min_speed=64.0))
    ended = None
    for round_ in range(100):
        since = 2.0 * round_
        clock.pause(since)
        clock.resume(since + 1.0)
        ended = drip(clock, 10.0, since=since + 1.0, until=since + 2.0)
        if ended is not None:
            break
    assert ended is not None
    assert 2 * SPEED_WINDOW_S <= ended <= 2 * SPEED_WINDOW_S + 4.0


def test_a_pause_in_which_the_process_was_stopped_counts_once() -> None:
    clock = connected(Timeouts(silence_s=0.0, min_speed=64.0))
    assert drip(clock, 70.0, until=20.0) is None
    clock.pause(20.0)
    clock.shift(1000.0)
    clock.resume(1025.0)
    assert drip(clock, 70.0, since=1025.0, until=1100.0) is None
    assert drip(clock, 10.0, since=1100.0, until=1150.0) is not None


# --- the whole


def test_budget_bounds_everything() -> None:
    clock = watch(NO_LIMITS, budget_s=2.0, now=10.0)
    assert clock.overdue(11.99) is None
    assert clock.overdue(12.0) == "took longer than --timeout allows"
    clock.connected(11.0, None, reused=False)
    clock.received(10**9, 11.9)
    assert clock.overdue(12.0) == "took longer than --timeout allows"


@pytest.mark.parametrize("budget_s", [0.0, -1.0])
def test_budget_that_is_spent_ends_at_once(budget_s: float) -> None:
    assert watch(budget_s=budget_s, now=10.0).overdue(10.0) is not None


# --- a process that was not running


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    limits = Timeouts(connect_s=10.0, silence_s=30.0, min_speed=64.0)
    connecting = watch(limits, budget_s=60.0)
    connecting.shift(1000.0)
    assert connecting.overdue(1009.9) is None
    assert connecting.overdue(1010.0) is not None

    waiting = connected(limits, first_byte_at=None)
    waiting.shift(1000.0)
    assert waiting.overdue(1029.9) is None
    assert waiting.overdue(1030.0) == "no answer for 30 s"

    spending = watch(NO_LIMITS, budget_s=60.0)
    spending.shift(1000.0)
    assert spending.overdue(1059.9) is None
    assert spending.overdue(1060.0) is not None


def test_speed_is_measured_over_time_awake() -> None:
    clock = connected(Timeouts(silence_s=0.0, min_speed=64.0))
    assert drip(clock, 70.0, until=29.0) is None
    clock.shift(1000.0)
    assert drip(clock, 70.0, since=1029.0, until=1100.0) is None
    assert drip(clock, 10.0, since=1100.0, until=1150.0) is not None


@given(
    events=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5000)), max_size=60),
    shift=st.floats(0, 1e5),
)
def test_a_shift_changes_nothing_but_the_time_of_day(
    events: list[tuple[float, int]], shift: float
) -> None:
    clocks = (connected(Timeouts()), connected(Timeouts()))
    clocks[1].shift(float(round(shift)))
    now = 0.0
    for gap, length in events:
        now += round(gap * 8) / 8  # exact in binary, so that sums are
        for clock, at in zip(clocks, (now, now + round(shift)), strict=True):
            if length:
                clock.received(length, at)
        assert clocks[0].overdue(now) == clocks[1].overdue(now + round(shift))


def test_steps_of_a_new_connection_are_told_apart_in_the_timeline() -> None:
    clock = watch(now=1.0)
    for at, phase in enumerate((Phase.LOOKUP, Phase.CONNECT, Phase.TUNNEL, Phase.HANDSHAKE), 2):
        clock.entered(phase, float(at))
    clock.connected(6.0, None, reused=False)
    clock.departed(7.0)
    clock.received(1, 8.0)
    clock.received(1, 9.0)
    assert clock.timeline(0.5, 10.0) == Timeline(
        queued=0.5, started=1.0, dns=3.0, tcp=4.0, tls=6.0, sent=7.0, first_byte=8.0,
        last_byte=9.0, ended=10.0,
    )  # fmt: skip


def test_timeline_of_an_attempt_that_fails_while_connecting_ends_with_that_step() -> None:
    clock = watch()
    clock.entered(Phase.LOOKUP, 0.0)
    assert clock.timeline(None, 1.0, whole=False) == Timeline(
        None, 0.0, 1.0, None, None, None, None, None, 1.0
    )
    clock.entered(Phase.CONNECT, 1.5)
    failed = clock.timeline(None, 2.0, whole=False)
    assert (failed.dns, failed.tcp, failed.tls) == (1.5, 2.0, None)
    clock.entered(Phase.HANDSHAKE, 3.0)
    failed = clock.timeline(None, 4.0, whole=False)
    assert (failed.dns, failed.tcp, failed.tls, failed.sent) == (1.5, 3.0, 4.0, None)
    clock.connected(5.0, None, reused=False)
    assert (clock.timeline(None, 6.0).tls, clock.timeline(None, 6.0).sent) == (5.0, None)


def test_timeline_of_an_attempt_that_fails_within_the_body_ends_with_that() -> None:
    clock = watch()
    clock.connected(1.0, None, reused=True)
    clock.waiting()
    clock.received(10, 2.0)
    assert clock.timeline(None, 5.0).last_byte == 2.0
    assert clock.timeline(None, 5.0, whole=False).last_byte == 5.0
