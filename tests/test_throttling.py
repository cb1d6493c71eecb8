"""Refusals speak of the host or of their URLs, as the evidence says."""

from __future__ import annotations

import pytest

from fetchpool.scheduling import throttling as room
from fetchpool.scheduling.throttling import Refusal, Throttling

FRESH = Refusal(503)
REPEATED = Refusal(503, is_first=False)


def refused(
    throttling: Throttling, times: int, now: float = 0.0, refusal: Refusal = FRESH
) -> float:
    """Refuse so many requests, each after a pause of our own; return when the last one was."""
    for _ in range(times):
        throttling.refused(now, refusal, 1, left=10_000)
        now += throttling.pause_s
    return now - throttling.pause_s


def served(throttling: Throttling, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        throttling.served(now, was_refused=False)


def test_own_pause_doubles_with_each_probe_refused_and_is_quartered_by_one_served() -> None:
    throttling = Throttling(served=100)
    pauses = []
    for _ in range(9):
        throttling.refused(0.0, FRESH, 1, left=10_000)
        pauses.append(throttling.pause_s)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    throttling.served(0.0, was_refused=False)
    assert throttling.pause_s == 15.0
    for _ in range(9):
        throttling.refused(0.0, FRESH, 1, left=10_000)
        throttling.served(0.0, was_refused=False)
    assert throttling.pause_s == room.SHORTEST_PAUSE_S


def test_own_pause_lies_in_the_upper_half_of_its_span() -> None:
    throttling = Throttling(served=0)
    throttling.refused(0.0, FRESH, 1, left=10_000)
    assert [throttling.next_pause_s(FRESH, draw) for draw in (0.0, 0.5)] == [0.5, 0.75]


@pytest.mark.parametrize(("asked_s", "pauses"), [(2.0, [2.0, 2.0, 4.0, 8.0]), (0.0, [1, 2, 4, 8])])
def test_host_waits_as_it_asked_and_longer_when_that_was_too_short(
    asked_s: float, pauses: list[float]
) -> None:
    throttling = Throttling(served=0)
    seen = []
    for _ in range(4):
        refusal = Refusal(429, asked_s=asked_s)
        throttling.refused(0.0, refusal, 1, left=10_000)
        seen.append(throttling.next_pause_s(refusal, 1.0))
    assert seen == pauses


def needed(throttling: Throttling) -> int:
    """Return how many good responses it takes until the host serves well."""
    number = 0
    while not throttling.serves_well:
        served(throttling, 1)
        number += 1
    return number


def test_host_serves_well_after_a_few_good_responses_in_a_row() -> None:
    throttling = Throttling(served=0)
    throttling.refused(0.0, FRESH, 1, left=10_000)
    throttling.served(0.0, was_refused=True)  # it had a moment for itself, which proves little
    assert needed(throttling) == room.SERVES_WELL_AFTER + 1


def test_host_that_gets_many_requests_at_once_must_serve_two_rounds_of_them_well() -> None:
    throttling = Throttling(served=0)
    throttling.refused(0.0, FRESH, window=20, left=10_000)
    assert needed(throttling) == 40


def test_host_that_refused_after_a_burst_must_serve_more_than_that_well() -> None:
    throttling = Throttling(served=20)
    throttling.refused(0.0, FRESH, 1, left=10_000)
    assert needed(throttling) == 21
    served(throttling, 10_000)
    throttling.refused(0.0, FRESH, 1, left=10_000)
    assert needed(throttling) == room.LONGEST_RUN + 1


def test_trust_in_a_host_ends_when_refusals_of_its_urls_come_together() -> None:
    throttling = Throttling(served=0)
    throttling.refused(0.0, FRESH, 1, left=10_000)
    served(throttling, room.SERVES_WELL_AFTER)
    throttling.refused_own()
    assert not throttling.serves_well


def test_rest_is_as_long_as_the_host_took_for_each_url_it_served() -> None:
    throttling = Throttling(served=1)
    for number in range(100):
        throttling.refused(10.0 * number, FRESH, 1, left=10_000)
        throttling.served(10.0 * number + 10.0, was_refused=number % 2 == 1)
    assert throttling.needs_rests
    assert throttling.rest_s == pytest.approx(10.0, rel=0.02)


def test_no_rest_for_urls_that_are_refused_for_ever() -> None:
    throttling = Throttling(served=1)
    for number in range(100):
        throttling.refused(10.0 * number, FRESH, 1, left=10_000)
        throttling.volley(REPEATED)
        throttling.served(10.0 * number + 10.0, was_refused=False)
    assert throttling.rest_s < 0.5


def test_host_is_hopeless_after_six_refusals_in_a_row_and_some_seconds() -> None:
    throttling = Throttling(served=1000)
    now = refused(throttling, 5)
    assert not throttling.is_hopeless(now)
    now = refused(throttling, 1, now + 1.0)
    assert throttling.is_hopeless(now)
    short = Throttling(served=1000)
    for _ in range(6):
        short.refused(1.0, FRESH, 1, left=10_000)
    assert not short.is_hopeless(1.0 + room.GIVEN_UP_AFTER_S - 0.1)
    assert short.is_hopeless(1.0 + room.GIVEN_UP_AFTER_S)


def test_one_good_response_ends_a_run_of_refusals() -> None:
    throttling = Throttling(served=1000)
    now = refused(throttling, 5)
    throttling.served(now, was_refused=False)
    now = refused(throttling, 5, now)
    assert not throttling.is_hopeless(now + 1000.0)


@pytest.mark.parametrize(("bad", "needed"), [(0, 6), (10, 6), (100, 20), (1000, 64)])
def test_host_that_refuses_a_share_for_ever_is_given_up_later(bad: int, needed: int) -> None:
    throttling = Throttling(served=100)
    for _ in range(bad):
        throttling.refused(0.0, FRESH, 1, left=10_000)
        throttling.volley(REPEATED)
        throttling.volley(REPEATED)
    throttling.served(0.0, was_refused=False)
    refusals = 0
    while not throttling.is_hopeless(1000.0 + room.GIVEN_UP_AFTER_S):
        throttling.refused(1000.0, FRESH, 1, left=10_000)
        refusals += 1
    assert refusals == needed


def test_host_is_given_up_later_where_its_bad_urls_may_be_all_that_is_left() -> None:
    few = Throttling(served=1000)
    for number in range(room.GIVEN_UP_AT_MOST - 1):
        few.refused(10.0 * number, FRESH, 1, left=99 - number)
        assert not few.is_hopeless(10.0 * number)
        assert few.pause_s == room.FIRST_PAUSE_S, "it is to end soon all the same"
    few.refused(1000.0, FRESH, 1, left=36)
    assert few.is_hopeless(1000.0), "a run that long ends all the same"


def test_host_is_given_up_when_all_that_is_left_was_refused_again_six_times() -> None:
    none = Throttling(served=1000)
    for number in range(5):
        none.refused(float(number), FRESH, 1, left=4 - number)
    again = Refusal(503, is_first=False)
    for number in range(room.GIVEN_UP_AFTER):
        assert not none.is_hopeless(100.0 + number)
        none.refused(100.0 + number, again, 1, left=0)
    assert none.is_hopeless(100.0 + number)
