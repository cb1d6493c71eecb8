"""Numbers as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.reporting.terminal import formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "<1 ms"),
        (0.0006, "1 ms"),
        (0.031, "31 ms"),
        (0.1, "100 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (15.3, "15.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (80, "1 min 20 s"),
        (3_599.6, "1 h 00 min"),
        (7_500, "2 h 05 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (28, "28 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (80, "1 min 20 s")],
)
def test_whole_seconds(seconds: float, text: str) -> None:
    assert formats.whole_seconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9, "9 s left"),
        (89.4, "89 s left"),
        (90, "2 min left"),
        (5_400, "2 h left"),
        (2e5, "2 d left"),
    ],
)
def test_time_left_has_no_feigned_precision(seconds: float, text: str) -> None:
    assert formats.time_left(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1_000, "1.0 kB"),
        (66_100_000, "66.1 MB"),
        (99_960_000, "100 MB"),
        (999_600_000, "1.0 GB"),
        (812_000_000_000, "812 GB"),
    ],
)
def test_sizes_are_decimal(number: float, text: str) -> None:
    assert formats.size(number) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, "0/s"),
        (0.05, "0.05/s"),
        (0.996, "1.0/s"),
        (9.3, "9.3/s"),
        (9.96, "10/s"),
        (1_310, "1,310/s"),
    ],
)
def test_rates(per_second: float, text: str) -> None:
    assert formats.rate(per_second) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (19_789, 20_000, "98.9 %"),
        (1, 10_000_000, "<0.1 %"),
        (9_999_999, 10_000_000, ">99.9 %"),
        (5, 5, "100 %"),
    ],
)
def test_share_says_all_or_nothing_only_if_it_is(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_progress_is_complete_only_at_the_end(done: int, total: int) -> None:
    text = formats.percent_done(done, total)
    assert len(text) == 5
    assert (text == "100 %") == (done >= total)


@given(st.floats(0, 86_400 * 999))
def test_times_keep_their_width(seconds: float) -> None:
    assert len(formats.duration(seconds)) <= 11
    assert len(formats.whole_seconds(seconds)) <= 11
    assert len(formats.time_left(seconds)) <= 11


@given(st.floats(0, 9.99e20))
def test_sizes_keep_their_width(number: float) -> None:
    assert len(formats.size(number)) <= 7


@given(st.floats(0, 99_999))
def test_rates_keep_their_width(per_second: float) -> None:
    assert len(formats.rate(per_second)) <= 9
