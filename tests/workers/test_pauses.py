"""Pauses add up as a host's own do, and are forgotten when they are over."""

from __future__ import annotations

from fetchpool.scaling.messages import Park
from fetchpool.scaling.pauses import Pauses


def test_pause_is_extended_from_where_it_would_have_ended() -> None:
    pauses = Pauses()
    assert pauses.extend("h", 10.0, 429, now=100.0) == Park("h", 10.0, 429)
    assert pauses.extend("h", 2.0, 503, now=105.0) == Park("h", 7.0, 503)
    assert pauses.extend("h", 2.0, 503, now=200.0) == Park("h", 2.0, 503)


def test_pause_that_ends_later_stands_and_what_is_left_of_it_is_told() -> None:
    pauses = Pauses()
    pauses.note(Park("h", 10.0, 429), now=100.0)
    pauses.note(Park("h", 5.0, 503), now=100.0)
    assert pauses.current(104.0) == [Park("h", 6.0, 429)]
    assert pauses.current(110.0) == []


def test_pauses_that_are_over_take_no_memory() -> None:
    pauses = Pauses()
    for number in range(100_000):
        pauses.note(Park(str(number), 5.0, 429), now=float(number))
    assert len(pauses._pauses) <= 1025
