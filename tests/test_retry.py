"""Passing faults are tried again, in bounds; a throttling host is left alone as it asks."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.models import FailureKind
from fetchpool.retry import (
    MAX_BACKOFF_S,
    MAX_FREE_ATTEMPTS,
    MAX_RETRY_AFTER_S,
    Retry,
    RetryPolicy,
    Setback,
    Tries,
    parse_retry_after,
)

PASSING = {FailureKind.TIMEOUT, FailureKind.CONNECT, FailureKind.TRUNCATED, FailureKind.DNS}
RETRIED_STATUSES = {408, 425, 429, 500, 502, 503, 504}
TWICE = RetryPolicy(retries=2)
NOON = 784_123_200.0  # Sun, 06 Nov 1994 12:00:00 GMT
NOON_DATE = "Sun, 06 Nov 1994 12:00:00 GMT"


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


def status(code: int, retry_after_s: float | None = None) -> Setback:
    return Setback(FailureKind.STATUS, code, retry_after_s)


# --- again, or not


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.STATUS])
def test_only_passing_faults_are_tried_again(kind: FailureKind) -> None:
    retry = TWICE.decide(Setback(kind), Tries(sent=1), lowest)
    assert (retry is not None) is (kind in PASSING)


def test_only_passing_statuses_are_tried_again() -> None:
    tried_again = {
        code for code in range(1000) if TWICE.decide(status(code), Tries(sent=1), lowest)
    }
    assert tried_again == RETRIED_STATUSES


def test_a_name_that_does_not_exist_is_not_asked_for_again() -> None:
    gone = Setback(FailureKind.DNS, transient=False)
    assert TWICE.decide(gone, Tries(sent=1), lowest) is None


def test_attempts_end_when_retries_are_spent() -> None:
    timeout = Setback(FailureKind.TIMEOUT)
    assert [TWICE.decide(timeout, Tries(sent), lowest) is None for sent in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert RetryPolicy(0).decide(timeout, Tries(sent=1), lowest) is None


def test_forgiven_attempts_are_not_counted() -> None:
    timeout = Setback(FailureKind.TIMEOUT)
    assert TWICE.decide(timeout, Tries(sent=5, free=3), lowest) is not None
    assert TWICE.decide(timeout, Tries(sent=6, free=3), lowest) is None


# --- how much later


@pytest.mark.parametrize(
    ("setback", "first_s"),
    [
        (Setback(FailureKind.TRUNCATED), 0.25),
        (Setback(FailureKind.CONNECT), 0.5),
        (Setback(FailureKind.DNS), 1.0),
        (Setback(FailureKind.TIMEOUT), 1.0),
        (status(500), 1.0),
    ],
)
def test_pauses_double_and_lie_in_the_upper_half_of_their_span(
    setback: Setback, first_s: float
) -> None:
    patient = RetryPolicy(retries=10**6)
    for nth, longest_s in ((1, first_s), (2, 2 * first_s), (3, 4 * first_s), (10**6, 60.0)):
        assert patient.decide(setback, Tries(nth), lowest) == Retry(
            longest_s / 2, True, False, False
        )
        assert patient.decide(setback, Tries(nth), highest) == Retry(longest_s, True, False, False)


def test_retry_after_is_obeyed_to_the_letter() -> None:
    for code in RETRIED_STATUSES:
        retry = TWICE.decide(status(code, 17.0), Tries(sent=2), highest)
        assert retry is not None
        assert retry.after_s == 17.0
        assert retry.host_wide is (code in {429, 503})


def test_retry_after_zero_is_a_pause_of_our_own() -> None:
    retry = TWICE.decide(status(503, 0.0), Tries(sent=1), lowest)
    assert retry is not None
    assert retry.after_s == 0.5


# --- throttling


def test_throttling_makes_the_whole_host_wait_and_is_forgiven() -> None:
    for code in (429, 503):
        assert TWICE.decide(status(code), Tries(sent=1), highest) == Retry(1.0, True, True, True)
        assert TWICE.decide(status(code, 9.0), Tries(sent=1), highest) == Retry(
            9.0, True, True, True
        )


def test_own_parkings_grow_with_each_in_a_row() -> None:
    waits = [
        TWICE.decide(status(429), Tries(sent=1, parkings=parkings), highest)
        for parkings in (0, 1, 2, 50)
    ]
    assert [wait.after_s for wait in waits if wait] == [1.0, 2.0, 4.0, MAX_BACKOFF_S]


def test_an_impatient_hosts_urls_spend_their_attempts() -> None:
    def tried(sent: int) -> Retry | None:
        return TWICE.decide(status(429), Tries(sent, patient=False), highest)

    assert tried(1) == Retry(1.0, again=True, host_wide=True, free=False)
    assert tried(2) == Retry(1.0, again=True, host_wide=True, free=False)
    assert tried(3) == Retry(1.0, again=False, host_wide=True, free=False)


def test_a_host_that_throttles_waits_even_when_its_url_is_given_up() -> None:
    assert RetryPolicy(0).decide(status(503, 30.0), Tries(sent=1), lowest) == Retry(
        30.0, again=False, host_wide=True, free=False
    )


def test_a_url_refused_for_ever_is_given_up() -> None:
    free = 0
    for sent in range(1, 100):
        retry = TWICE.decide(status(429), Tries(sent, free), lowest)
        assert retry is not None
        if not retry.again:
            break
        free += retry.free
    assert sent == 1 + 2 + MAX_FREE_ATTEMPTS


setbacks = st.builds(
    Setback,
    st.sampled_from(FailureKind),
    st.none() | st.integers(0, 999),
    st.none() | st.floats(0, 1e9),
    st.booleans(),
)
tries = st.integers(1, 1000).flatmap(
    lambda sent: st.builds(
        Tries, st.just(sent), st.integers(0, sent - 1), st.integers(0, 10**6), st.booleans()
    )
)


@given(setbacks, tries, st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_and_attempts_too(
    setback: Setback, tried: Tries, retries: int, draw: float
) -> None:
    retry = RetryPolicy(retries).decide(setback, tried, lambda: draw)
    if retry is None:
        return
    assert 0 < retry.after_s <= MAX_RETRY_AFTER_S
    assert retry.again or retry.host_wide
    if retry.again and not retry.free:
        assert tried.sent - tried.free <= retries
    if retry.free:
        assert retry.again
        assert tried.free < MAX_FREE_ATTEMPTS
        assert retries > 0


@given(st.lists(st.tuples(setbacks, st.booleans()), min_size=40, max_size=40), st.integers(0, 20))
def test_no_history_of_setbacks_goes_on_for_ever(
    history: list[tuple[Setback, bool]], retries: int
) -> None:
    sent, free = 1, 0
    for setback, patient in history:
        retry = RetryPolicy(retries).decide(
            setback, Tries(sent, free, patient=patient), random.random
        )
        if retry is None or not retry.again:
            break
        free += retry.free
        sent += 1
    assert sent <= 1 + retries + MAX_FREE_ATTEMPTS


# --- Retry-After


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7\t", 7.0),
        ("007", 7.0),
        ("1.5", 1.5),
        ("300", 300.0),
        ("301", 300.0),
        ("9" * 4000, 300.0),
        ("9" * 100_000, 300.0),
        ("0." + "9" * 5000, 1.0),
        ("-5", None),
        ("+5", None),
        ("5s", None),
        ("5, 5", None),
        ("1e3", None),
        ("0x10", None),
        ("1_000", None),
        (".5", None),
        ("5.", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("soon", None),
        ("\u0665", None),
        ("\u00b2", None),
        ("5\n", None),
        ("\x1b[31m", None),
    ],
)
def test_delays_are_read_and_bounded(value: str | None, wait_s: float | None) -> None:
    assert parse_retry_after(value, None, NOON) == wait_s


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 12:00:37 GMT",
        "Sunday, 06-Nov-94 12:00:37 GMT",
        "Sun Nov  6 12:00:37 1994",
    ],
)
def test_all_three_forms_of_date_are_read(value: str) -> None:
    assert parse_retry_after(value, None, NOON) == 37.0
    assert parse_retry_after(NOON_DATE, value, NOON) is None
    assert parse_retry_after("Sun, 06 Nov 1994 12:01:00 GMT", value, 0.0) == 23.0


def test_a_date_is_measured_by_the_servers_own_clock() -> None:
    a_year_later = NOON + 365 * 86_400
    assert parse_retry_after("Sun, 06 Nov 1994 12:00:10 GMT", NOON_DATE, a_year_later) == 10.0
    assert parse_retry_after(NOON_DATE, NOON_DATE, a_year_later) == 0.0
    assert parse_retry_after("Sun, 06 Nov 1994 12:00:10 GMT", "nonsense", NOON) == 10.0


def test_past_and_impossible_dates_are_nothing() -> None:
    assert parse_retry_after("Sun, 06 Nov 1994 11:59:59 GMT", None, NOON) is None
    assert parse_retry_after("Sun, 31 Feb 2094 12:00:00 GMT", None, NOON) is None
    assert parse_retry_after("Sun, 06 Nov 1994 25:00:00 GMT", None, NOON) is None
    assert parse_retry_after("Sun, 06 Nov 99999 12:00:00 GMT", None, NOON) is None


def test_a_date_far_away_is_five_minutes() -> None:
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", None, NOON) == MAX_RETRY_AFTER_S


@given(st.integers(1, 300), st.integers(1_000_000_000, 4_000_000_000))
def test_any_date_ahead_is_waited_for(ahead_s: int, sent_at: int) -> None:
    def http_date(epoch: int) -> str:
        return format_datetime(datetime.fromtimestamp(epoch, UTC), usegmt=True)

    assert parse_retry_after(http_date(sent_at + ahead_s), http_date(sent_at), 0.0) == ahead_s
    assert parse_retry_after(http_date(sent_at + ahead_s), None, sent_at) == ahead_s


date_like = st.text(alphabet="0123456789:-+, SunNovGMT\u0664\u00b2", max_size=40)


@given(st.text() | date_like, st.none() | st.text() | date_like, st.floats(0, 1e12))
def test_any_header_gives_a_bounded_wait_or_none(
    value: str, date: str | None, now_epoch: float
) -> None:
    wait_s = parse_retry_after(value, date, now_epoch)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S
