"""Passing faults are tried again, as often as `--retries` says; Retry-After is obeyed."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.again import PASSING_KINDS, Again
from fetchpool.model.values import FailureKind
from fetchpool.scheduling.retry import (
    FIRST_PAUSE_S,
    MAX_RETRY_AFTER_S,
    RetryPolicy,
    Trouble,
    parse_retry_after,
)

PASSING = {
    *(FailureKind.TIMEOUT, FailureKind.CONNECT, FailureKind.TRUNCATED, FailureKind.DNS),
    FailureKind.CHECKSUM,
}
RETRIED_STATUSES = {202, 408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 527, 529}
TWICE = RetryPolicy(retries=2)
NOON = 784_123_200.0  # Sun, 06 Nov 1994 12:00:00 GMT
NOON_DATE = "Sun, 06 Nov 1994 12:00:00 GMT"


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


def status(code: int, retry_after_s: float | None = None) -> Trouble:
    return Trouble(FailureKind.STATUS, code, retry_after_s)


# --- again, or not


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.STATUS])
def test_only_passing_faults_are_tried_again(kind: FailureKind) -> None:
    assert (TWICE.pause_s(Trouble(kind), 1, lowest) is not None) is (kind in PASSING)


def test_only_passing_statuses_are_tried_again() -> None:
    tried_again = {
        code for code in range(1000) if TWICE.pause_s(status(code), 1, lowest) is not None
    }
    assert tried_again == RETRIED_STATUSES


def test_a_name_that_does_not_exist_is_not_asked_for_again() -> None:
    assert TWICE.pause_s(Trouble(FailureKind.DNS, transient=False), 1, lowest) is None


@pytest.mark.parametrize("retries", range(4))
@pytest.mark.parametrize(
    "trouble", [Trouble(kind) for kind in sorted(PASSING)] + [status(c) for c in (429, 500, 503)]
)
def test_retries_is_what_it_says_on_every_kind(trouble: Trouble, retries: int) -> None:
    policy = RetryPolicy(retries)
    again = [policy.pause_s(trouble, counted, lowest) is not None for counted in range(1, 6)]
    assert again == [counted <= retries for counted in range(1, 6)]


@pytest.mark.parametrize(
    ("on", "off", "added", "left"),
    [
        (("404", "401-403"), (), {401, 402, 403, 404}, set()),
        (("5xx",), ("501", "505-599"), set(), {520, 521, 522, 523, 524, 527, 529}),
        (("503",), ("5xx",), set(), RETRIED_STATUSES - {202, 408, 425, 429, 503}),
        ((), ("status",), set(), RETRIED_STATUSES),
        (("999",), ("202",), {999}, {202}),
        (("429",), ("429",), set(), {429}),
        (("tls",), ("timeout",), set(), set()),
    ],
)
def test_user_adds_statuses_and_takes_away_the_narrower_counts(
    on: tuple[str, ...], off: tuple[str, ...], added: set[int], left: set[int]
) -> None:
    policy = RetryPolicy.chosen(2, None, on, off)
    again = {code for code in range(1000) if policy.pause_s(status(code), 1, lowest) is not None}
    assert again == (RETRIED_STATUSES | added) - left


def test_user_adds_kinds_whatever_is_known_of_them_and_takes_away() -> None:
    policy = RetryPolicy.chosen(2, None, ("tls", "dns", "redirect"), ("timeout", "checksum"))
    refused = {kind: Trouble(kind, transient=False) for kind in FailureKind}
    again = {kind for kind in FailureKind if policy.passing(refused[kind])}
    assert again == {FailureKind.TLS, FailureKind.REDIRECT}, "no name that doesn't exist"
    assert not policy.passing(Trouble(FailureKind.TIMEOUT))
    words = "dns, connect, truncated, tls, redirect, 408, 425, 429, 500, 502-504, "
    assert policy.again.in_words().startswith(words)
    assert Again.chosen((), ("status", *PASSING_KINDS)).in_words() == "nothing"
    assert set(PASSING_KINDS) == set(FIRST_PAUSE_S) - {"status"}


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.TLS, FailureKind.TRUNCATED])
def test_delay_is_the_shortest_first_pause_and_doubles(kind: FailureKind) -> None:
    policy = RetryPolicy.chosen(9, 5.0, ("tls",), ())
    pauses = [policy.pause_s(Trouble(kind), counted, lowest) for counted in range(1, 6)]
    assert pauses == [5.0, 10.0, 20.0, 30.0, 30.0]
    assert policy.pause_s(Trouble(kind), 1, highest) == 10.0
    slow = RetryPolicy.chosen(9, 300.0, ("tls",), ())
    assert [slow.pause_s(Trouble(kind), n, lowest) for n in (1, 5)] == [300.0, 300.0]


def test_delay_of_zero_is_none_but_for_names() -> None:
    policy = RetryPolicy.chosen(2, 0.0, (), ())
    assert policy.pause_s(Trouble(FailureKind.CONNECT), 2, highest) == 0.0
    assert policy.pause_s(Trouble(FailureKind.DNS), 1, highest) == 0.5
    assert policy.pause_s(status(500, 7.0), 1, lowest) == 7.0


# --- how much later


@pytest.mark.parametrize(
    ("trouble", "first_s"),
    [
        (Trouble(FailureKind.TRUNCATED), 0.25),
        (Trouble(FailureKind.CONNECT), 0.5),
        (Trouble(FailureKind.DNS), 1.0),
        (Trouble(FailureKind.TIMEOUT), 1.0),
        (status(500), 1.0),
    ],
)
def test_pauses_double_and_lie_in_the_upper_half_of_their_span(
    trouble: Trouble, first_s: float
) -> None:
    patient = RetryPolicy(retries=10**6)
    for nth, longest_s in ((1, first_s), (2, 2 * first_s), (3, 4 * first_s), (10**6, 60.0)):
        assert patient.pause_s(trouble, nth, lowest) == longest_s / 2
        assert patient.pause_s(trouble, nth, highest) == longest_s


def test_retry_after_is_obeyed_to_the_letter() -> None:
    for code in RETRIED_STATUSES:
        assert TWICE.pause_s(status(code, 17.0), 2, highest) == 17.0


def test_retry_after_zero_is_a_pause_of_our_own() -> None:
    assert TWICE.pause_s(status(503, 0.0), 1, lowest) == 0.5


setbacks = st.builds(
    Trouble,
    st.sampled_from(FailureKind),
    st.none() | st.integers(0, 999),
    st.none() | st.floats(0, 1e9),
    st.booleans(),
)


@given(setbacks, st.integers(1, 1000), st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded_and_attempts_too(
    trouble: Trouble, counted: int, retries: int, draw: float
) -> None:
    pause_s = RetryPolicy(retries).pause_s(trouble, counted, lambda: draw)
    if pause_s is not None:
        assert 0 < pause_s <= MAX_RETRY_AFTER_S
        assert counted <= retries


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
