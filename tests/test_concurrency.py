"""How many requests at once are best: what the finder does with any answers, and its arithmetic."""

from __future__ import annotations

import math
import random
from statistics import fmean, pvariance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.model.attempts import Timeline
from fetchpool.scheduling import concurrency as room
from fetchpool.scheduling.concurrency import Finder, Level, logarithm_of
from fetchpool.scheduling.limit_finding import FIRST_LIMIT, Finding, Usual

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("good"), st.floats(-9, 9), st.booleans()),
        st.tuples(st.just("calm"), st.floats(-9, 9), st.booleans()),
        st.tuples(st.just("refused"), st.just(0.0), st.just(True)),
        st.tuples(st.just("lost"), st.just(0.0), st.just(True)),
    ),
    max_size=40,
)


def windows(
    events: list[tuple[str, float, bool]], most: int, *, is_paired: bool = False
) -> list[int]:
    """Return the windows that *events* lead to; each is what happens to twenty requests."""
    finder, now, found = Finder(most, is_paired=is_paired), 0.0, []
    for what, logarithm, is_full in events:
        before = finder.window
        match what:
            case "good":
                for _ in range(20):
                    before = finder.window
                    now += 0.01
                    finder.answered(None if logarithm > 8 else logarithm, now, is_full=is_full)
                    assert finder.window <= before + 1, "an answer lets one more run, no more"
                    assert is_full or finder.window == before
                    found.append(finder.window)
            case "calm":
                now += 60.0
            case "refused":
                assert finder.refused(now) == max(1, before // 2)
            case _:
                finder.lost()
        assert 1 <= finder.window <= most
        found.append(finder.window)
    return found


@settings(max_examples=300)
@given(events=EVENTS, most=st.integers(1, 70), is_paired=st.booleans())
def test_window_stays_within_bounds_grows_by_one_an_answer_and_is_always_the_same(
    events: list[tuple[str, float, bool]], most: int, is_paired: bool
) -> None:
    first = windows(events, most, is_paired=is_paired)
    assert first == windows(events, most, is_paired=is_paired)


@given(events=EVENTS, most=st.integers(2, 70), less=st.integers(1, 70))
def test_a_bound_that_is_lowered_holds_at_once_and_from_then_on(
    events: list[tuple[str, float, bool]], most: int, less: int
) -> None:
    finder = Finder(most)
    for _, logarithm, is_full in events:
        finder.answered(logarithm, 0.0, is_full=is_full)
    assert finder.bound(less) == finder.window <= less
    for _, logarithm, is_full in events * 9:
        assert finder.answered(logarithm, 0.0, is_full=is_full) <= less


def fed(finder: Finder, answers: int, now: float = 0.0) -> None:
    """Let so many answers come after the same time each, however many run."""
    for _ in range(answers):
        finder.answered(0.0, now, is_full=True)


def test_a_host_that_is_never_slower_gets_all_there_is() -> None:
    finder = Finder(64)
    fed(finder, 400)
    assert (finder.window, finder.found) == (64, 64)


def test_no_more_run_where_fewer_are_wanted_than_may() -> None:
    finder = Finder(64)
    for _ in range(1000):
        finder.answered(0.0, 0.0, is_full=False)
    assert (finder.window, finder.found) == (2, None)


def when_more_is_tried(finder: Finder, now: float) -> float:
    """Let answers come from *now* on, a thousand a second; return when one more runs than now."""
    top = finder.found
    assert top is not None
    while True:
        now += 0.5
        for _ in range(500):
            finder.answered(0.0, now, is_full=True)
            if finder.window > top:
                assert finder.window == top + 1
                return now


def test_what_was_refused_is_not_tried_again_before_it_has_been_calm() -> None:
    finder = Finder(64)
    fed(finder, 40)
    refused = finder.window
    finder.refused(0.0)
    assert finder.found is not None
    assert finder.found < refused
    assert when_more_is_tried(finder, 0.0) == room.FIRST_CALM_S


def test_each_refusal_makes_the_calm_longer_and_each_try_without_one_shorter() -> None:
    finder = Finder(64)
    fed(finder, 60)
    now, waits = 0.0, []
    for _ in range(4):
        finder.refused(now)
        waits.append(-now + (now := when_more_is_tried(finder, now)))
    for waited, calm_s in zip(waits, (8.0, 16.0, 30.0, 30.0), strict=True):
        assert calm_s <= waited <= calm_s + 2.0, "then it is tried at the next step"
    fed(finder, 100, now)  # without a refusal
    waits = []
    for _ in range(4):
        waits.append(-now + (now := when_more_is_tried(finder, now)))
        fed(finder, 100, now)
    for waited, calm_s in zip(waits, (15.0, 7.5, 3.75, 2.0), strict=True):
        assert calm_s <= waited <= calm_s + 2.0


def test_a_host_that_was_lost_comes_back_to_what_it_had() -> None:
    finder = Finder(64)
    fed(finder, 400)
    finder.lost()
    assert finder.window == 1
    fed(finder, 63)
    assert finder.window == 64


@given(values=st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 10)), min_size=1, max_size=60))
def test_level_has_the_mean_and_its_error(values: list[tuple[float, float]]) -> None:
    level = Level(window=60)
    for logarithm, weight in values:
        level.add(logarithm, weight)
    total = math.fsum(weight for _, weight in values)
    mean = math.fsum(value * weight for value, weight in values) / total
    spread = math.fsum(weight * (value - mean) ** 2 for value, weight in values) / total
    effective = total**2 / math.fsum(weight**2 for _, weight in values)
    assert level.mean == pytest.approx(mean, abs=1e-9)
    assert level.error == pytest.approx(spread / effective, abs=1e-9)


def test_level_follows_latencies_that_change() -> None:
    level, draw = Level(window=4), random.Random(1)
    late = [draw.gauss(3.0, 0.5) for _ in range(600)]
    for logarithm in [*(0.0 for _ in range(200)), *late]:
        level.add(logarithm)
    assert level.mean == pytest.approx(fmean(late), abs=0.2)
    assert level.error * 64 == pytest.approx(pvariance(late), rel=0.5)


def test_the_shortest_latency_has_a_logarithm() -> None:
    assert logarithm_of(0.0) == logarithm_of(1e-9) < logarithm_of(0.001)


# --- the limit over all hosts


def timeline(took_s: float, connected_s: float = 0.0) -> Timeline:
    """The timeline of an answer that came so long after its request was sent."""
    end = connected_s + took_s
    return Timeline(None, 0.0, None, None, None, connected_s, end, end, end)


def test_latencies_of_a_host_are_compared_with_those_one_level_before() -> None:
    usual = Usual()
    assert usual.compared(1.0, 1) is None
    assert usual.compared(3.0, 1) is None
    assert usual.compared(2.5, 2) == 0.5
    assert usual.compared(3.5, 2) == 1.5
    assert usual.compared(3.0, 7) == 0.0


def test_limit_begins_with_the_default_and_grows_where_no_host_gets_slower() -> None:
    finding = Finding(4096)
    assert (finding.limit, finding.found) == (FIRST_LIMIT, None)
    usuals = [Usual() for _ in range(50)]
    for number in range(40_000):
        took_s = 0.01 * (1 + number % 50)  # each host its own
        limit = finding.limit
        finding.answered(timeline(took_s), usuals[number % 50], limit, limit, 0.0)
    assert finding.found == 4096


def test_limit_is_taken_back_where_all_get_slower_by_as_much_as_more_run() -> None:
    finding, most = Finding(4096), 0
    usuals = [Usual() for _ in range(50)]
    for number in range(40_000):
        limit = finding.limit
        took_s = 0.01 * (1 + number % 50) * max(1.0, limit / 400)
        finding.answered(timeline(took_s), usuals[number % 50], limit, limit, 0.0)
        most = max(most, finding.limit)
    assert finding.found is not None
    assert finding.found <= 500
    assert most == 1600, "one step too far was looked at"


def test_time_to_connect_is_no_latency() -> None:
    finding, usuals = Finding(4096), [Usual() for _ in range(50)]
    for number in range(40_000):
        limit = finding.limit
        # Those of the first level come over new connections, the others over kept ones.
        connected_s = 5.0 if limit == FIRST_LIMIT else 0.0
        finding.answered(timeline(0.1, connected_s), usuals[number % 50], limit, limit, 0.0)
    assert finding.found == 4096


def test_limit_that_descriptors_lowered_is_never_passed_again() -> None:
    finding, usual = Finding(4096), Usual()
    for _ in range(3000):
        finding.answered(timeline(0.1), usual, finding.limit, finding.limit, 0.0)
    assert finding.limit > 60
    lowered = 60
    for _ in range(3000):
        lowered = finding.answered(timeline(0.1), usual, lowered, lowered, 0.0)
        assert lowered <= 60
