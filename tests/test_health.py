"""A host gets as many requests at once as it bears and the pauses it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import Failure, FailureKind
from fetchpool.scheduling import host_health as room
from fetchpool.scheduling.host_health import HostHealth
from fetchpool.scheduling.throttling import Refusal

REFUSED = Failure(FailureKind.CONNECT, "connection refused")


def wide(most: int = 10) -> HostHealth:
    """A host that has answered often enough to have its whole window."""
    health = HostHealth(most)
    for _ in range(most):
        health.answered(0.0)
    assert health.window == most
    return health


def fail(health: HostHealth, times: int, now: float = 0.0) -> float:
    """Let *times* attempts fail one after the other, each as soon as it may start."""
    for _ in range(times):
        now = max(now, health.parked_until, health.probe_at or 0.0)
        health.unreachable(now, now, REFUSED)
    return now


# --- the window


def test_unknown_host_starts_with_two_and_doubles_each_round() -> None:
    health = HostHealth(10)
    rounds = []
    while health.window < 10:
        rounds.append(health.window)
        for _ in range(health.window):
            health.answered(0.0)
    assert rounds == [2, 4, 8]


@pytest.mark.parametrize("most", [1, 2, 10, 4096])
def test_window_never_passes_its_limit(most: int) -> None:
    health = wide(most)
    health.answered(0.0)
    assert health.window == most


def refuse(
    health: HostHealth,
    now: float,
    started: float | None = None,
    *,
    asked_s: float | None = None,
    status: int = 429,
) -> float:
    """Let a request of a fresh URL be refused; return the pause. Our own is the longest one."""
    refusal = Refusal(status, asked_s=asked_s)
    return health.throttled(now, now - 0.5 if started is None else started, refusal, 1.0, left=1000)


def test_throttling_halves_the_window_then_a_full_round_wins_one_place() -> None:
    health = wide(10)
    refuse(health, 5.0)
    assert health.window == 5
    for window in (5, 6, 7, 8, 9):
        for _ in range(window):
            assert health.window == window
            health.answered(6.0)
    assert health.window == 10


def test_host_is_slowed_by_its_answers_not_by_its_gentle_start() -> None:
    health = HostHealth(10)
    slowed = [health.slowed]
    refuse(health, 1.0)
    slowed.append(health.slowed)
    while health.window < 10:
        health.answered(3.0)
    slowed.append(health.slowed)
    assert slowed == [False, True, False]


def test_a_volley_of_refusals_is_one_event() -> None:
    health = wide(10)
    for number in range(10):
        refuse(health, 5.0 + number / 10, 4.0)
    assert health.throttling is not None
    assert (health.window, health.throttling.refusals) == (5, 1)
    assert health.parked_until == pytest.approx(6.9), "but each may lengthen the pause"
    refuse(health, 8.0, 7.0)
    assert (health.window, health.throttling.refusals) == (2, 2)


def test_window_never_closes() -> None:
    health = wide(10)
    for number in range(20):
        refuse(health, 10.0 * number + 1)
        assert health.window >= 1


# --- pauses asked for


def test_shorter_pause_never_ends_a_longer_one() -> None:
    health = HostHealth(10)
    refuse(health, 0.0, asked_s=100.0)
    refuse(health, 1.0, -1.0, asked_s=2.0, status=503)
    assert health.parked_until == 100.0
    assert health.why == "429"


def test_straggler_that_answers_well_does_not_end_a_pause() -> None:
    health = HostHealth(10)
    refuse(health, 0.0, asked_s=100.0)
    health.answered(0.1)
    assert health.parked_until == 100.0
    assert not health.doubtful


def test_host_that_refuses_through_six_pauses_fails_fast_until_a_probe() -> None:
    health = HostHealth(10)
    now = 0.0
    for _ in range(6):
        assert not health.fails_fast(now)
        now = max(now, health.parked_until) + 0.5
        refuse(health, now, status=503)
    assert health.fails_fast(now)
    assert health.failing == Failure(
        FailureKind.STATUS, "given up: the host answered 503 through 6 pauses"
    )
    assert health.probe_at == now + 32.0, "our own sixth pause, as probes come no sooner"
    assert not health.fails_fast(now + 32.0)


def test_no_probe_within_a_pause_the_host_asked_for() -> None:
    """Retry-After: 300 on the sixth refusal, where probes come after 30 s."""
    health = HostHealth(10)
    for number in range(6):
        refuse(health, 300.0 * number, asked_s=300.0)
    assert health.probe_at == 1800.0


def test_stragglers_of_a_volley_do_not_put_the_probe_off() -> None:
    health = wide(100)
    for number in range(6):
        refuse(health, 10.0 * number)
    probe_at = health.probe_at
    assert probe_at is not None
    for _ in range(50):
        refuse(health, 50.1, 50.0)
    assert health.probe_at == probe_at


@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["answered", "throttled", "unreachable", "silent"]),
            st.floats(0, 50),
            st.floats(0.1, 300),
        ),
        max_size=60,
    )
)
def test_nothing_may_start_within_a_pause_whatever_else_happens(
    events: list[tuple[str, float, float]],
) -> None:
    health = HostHealth(8)
    now, asked_until = 0.0, 0.0
    for number, (what, gap, pause_s) in enumerate(events):
        now += gap
        match what:
            case "answered":
                health.answered(now)
            case "throttled":
                refuse(health, now, now - 0.1, asked_s=pause_s)
                asked_until = max(asked_until, now + pause_s)
            case "silent":
                health.silent(now, now - 0.1, str(number), REFUSED)
            case _:
                health.unreachable(now, now - 0.1, REFUSED)
        # A request may start from here on: not before both have passed.
        free_at = max(health.parked_until, health.probe_at or 0.0)
        assert free_at >= asked_until or asked_until <= now
        assert 1 <= health.window <= 8


# --- silence


def test_silence_speaks_against_a_host_once_for_each_url() -> None:
    health = HostHealth(10)
    for number in range(20):
        health.silent(float(number), float(number), f"http://a.test/{number % 4}", REFUSED)
    assert health.failures == 4


def test_list_of_one_silent_url_is_given_up_all_the_same() -> None:
    health = HostHealth(10)
    now = 0.0
    attempts = 0
    while not health.fails_fast(now):
        now = max(now, health.parked_until)
        health.silent(now, now, "http://a.test/", REFUSED)
        attempts += 1
    assert attempts == room.REPEATS_AFTER + room.FAIL_FAST_AFTER - 1


def test_host_that_spoke_is_suspected_after_a_page_of_silent_urls() -> None:
    health = wide(10)
    for number in range(room.SILENT_AFTER):
        health.silent(1.0, 1.0, str(number), REFUSED)
    assert health.failures == 0
    health.silent(1.0, 1.0, "another", REFUSED)
    assert health.failures == 1
    health.answered(2.0)
    health.silent(3.0, 3.0, "one more", REFUSED)
    assert health.failures == 0


# --- no connection


def test_a_few_failures_make_a_host_suspect_then_probes_come_further_apart() -> None:
    health = wide(10)
    fail(health, 4)
    assert (health.window, health.parked_until) == (10, 0.0)
    pauses = []
    now = 0.0
    while health.probe_at is None:
        health.unreachable(now, now, REFUSED)
        pauses.append(health.parked_until - now)
        now = max(now, health.parked_until)
        assert health.window == 1
    assert pauses == [1.0, 2.0, 4.0, 0.0]
    assert health.failures == room.FAIL_FAST_AFTER


def test_a_volley_of_refused_connections_makes_suspect_but_gives_nothing_up() -> None:
    """A server that restarts under ten connections has seconds, not a blink."""
    health = wide(10)
    for _ in range(10):
        health.unreachable(now=5.0, started=4.0, failure=REFUSED)
    assert health.failures == room.SUSPECT_AFTER
    assert health.probe_at is None
    assert health.parked_until == 6.0


def test_answer_brings_a_suspect_host_back_at_once() -> None:
    health = HostHealth(10)
    fail(health, 6)
    health.answered(0.0)
    assert (health.failures, health.parked_until, health.why) == (0, 0.0, None)


def test_host_given_up_names_the_latest_reason() -> None:
    health = HostHealth(10)
    now = fail(health, 8)
    assert health.failing.kind is FailureKind.CONNECT
    assert health.failing.detail == (
        "given up: the last 8 attempts at the host failed, the latest: connection refused"
    )
    assert health.fails_fast(now)
    assert health.why == "connection refused"


def test_probes_of_a_host_given_up_come_every_half_minute_to_every_five() -> None:
    health = HostHealth(10)
    now = fail(health, 8)
    pauses = []
    for _ in range(6):
        assert health.probe_at is not None
        pauses.append(health.probe_at - now)
        now = fail(health, 1, now)
    assert pauses == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_host_that_came_back_is_probed_as_often_as_any_other_next_time() -> None:
    health = HostHealth(10)
    now = fail(health, 11)
    health.answered(0.0)
    assert not health.fails_fast(now)
    now = fail(health, 8, now)
    assert health.probe_at == now + room.FAIL_FAST_PROBE_S


def test_recovered_host_keeps_the_pause_it_asked_for() -> None:
    health = HostHealth(10)
    refuse(health, 0.0, asked_s=50.0)
    for _ in range(8):
        health.unreachable(now=1.0, started=1.0, failure=REFUSED)
    health.recovered()
    assert health.parked_until == 50.0
    assert health.why == "429"
