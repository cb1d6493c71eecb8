"""Which version of a body there is: what a server is asked, and what follows from what it says."""

from __future__ import annotations

import pytest

from fetchpool.model.attempts import Plan
from fetchpool.model.values import Change, Earlier, Head, Request, Target
from fetchpool.model.versions import change_of, condition_of, confirms, http_date, validators
from fetchpool.policies.conditional import Conditional
from fetchpool.scheduling.job import Job, target_of

NOON = 1793534400.0  # 2026-11-01 12:00:00
AT_NOON = "Sun, 01 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("etag", "date", "asked_at", "condition"),
    [
        ('"1"', AT_NOON, NOON, ("If-None-Match", '"1"')),
        ('W/"1"', None, None, ("If-None-Match", 'W/"1"')),
        ('""', None, None, ("If-None-Match", '""')),
        ('"a,b c"', AT_NOON, NOON + 9, ("If-Modified-Since", AT_NOON)),
        ('w/"1"', None, NOON, None),
        ("1", None, NOON, None),
        ("*", None, NOON, None),
        ('"1", "2"', None, NOON, None),
        (None, AT_NOON, NOON + 1, ("If-Modified-Since", AT_NOON)),
        (None, AT_NOON, NOON + 0.9, None),
        (None, AT_NOON, NOON - 86_400, None),
        (None, AT_NOON, None, None),
        (None, "2026-11-01", NOON + 9, None),
        (None, "Sun, 99 Nov 2026 12:00:00 GMT", NOON + 9, None),
        (None, None, NOON, None),
    ],
)
def test_a_server_is_asked_by_what_it_can_be_held_to(
    etag: str | None, date: str | None, asked_at: float | None, condition: tuple[str, str] | None
) -> None:
    assert condition_of(etag, date, asked_at) == condition


def test_date_is_read_in_the_one_form() -> None:
    assert http_date(AT_NOON) == NOON
    assert http_date("Sunday, 01-Nov-26 12:00:00 GMT") is None
    assert http_date("Sun, 01 Nov 9999999 12:00:00 GMT") is None


@pytest.mark.parametrize(
    ("told", "known", "confirmed"),
    [
        ('"1"', '"1"', True),
        ('W/"1"', '"1"', True),
        ('"1"', 'W/"1"', True),
        (None, '"1"', True),
        ('"2"', None, True),
        ('"2"', '"1"', False),
    ],
)
def test_304_is_about_the_version_that_was_asked_about(
    told: str | None, known: str | None, confirmed: bool
) -> None:
    head = Head(304, () if told is None else (("etag", told),))
    assert confirms(head, Earlier("http://h/", etag=known)) is confirmed


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ((), (None, None)),
        ((("etag", '"1"'), ("last-modified", AT_NOON)), ('"1"', AT_NOON)),
        ((("etag", '"1"'), ("etag", '"2"')), (None, None)),
        ((("etag", '"1"'),) * 3, (None, None)),
        ((("last-modified", AT_NOON), ("last-modified", "Sun")), (None, None)),
        ((("etag", '"\xe9"'),), (None, None)),
        ((("etag", '"\x1b"'),), (None, None)),
        ((("etag", f'"{"x" * 2000}"'),), (None, None)),
    ],
)
def test_validator_is_the_only_one_of_its_name(
    fields: tuple[tuple[str, str], ...], found: tuple[str | None, str | None]
) -> None:
    assert validators(Head(200, fields)) == found


KNOWN = Earlier("http://h/", sha256="a", etag='"1"', last_modified=AT_NOON)


@pytest.mark.parametrize(
    ("earlier", "status", "ok", "sha256", "etag", "change"),
    [
        (None, 200, True, "a", '"1"', None),
        (Earlier(), 200, True, "a", '"1"', Change.NEW),
        (Earlier(), 404, False, None, None, None),
        (KNOWN, 304, True, None, None, Change.SAME),
        (KNOWN, 200, True, "a", '"2"', Change.SAME),
        (KNOWN, 200, True, "b", '"1"', Change.CHANGED),
        (KNOWN, 200, True, None, '"1"', Change.SAME),  # HEAD
        (KNOWN, 200, True, None, '"2"', Change.CHANGED),
        (KNOWN, 404, False, None, None, Change.GONE),
        (KNOWN, 410, False, None, None, Change.GONE),
        (KNOWN, 403, False, None, None, None),
        (KNOWN, None, False, None, None, None),
        (Earlier("http://h/"), 200, True, None, None, Change.CHANGED),
    ],
)
def test_change_is_told_by_the_bytes_where_they_are_known(
    earlier: Earlier | None,
    status: int | None,
    ok: bool,
    sha256: str | None,
    etag: str | None,
    change: Change | None,
) -> None:
    found = change_of(earlier, status, ok=ok, sha256=sha256, etag=etag, last_modified=None)
    assert found is change


@pytest.mark.parametrize(
    ("headers", "method", "url", "asked"),
    [
        ((), "GET", "http://h/", True),
        ((), "HEAD", "http://h/", True),
        ((), "POST", "http://h/", False),
        ((), "GET", "http://h/other", False),
        ((("Range", "bytes=0-9"),), "GET", "http://h/", False),
        ((("if-match", '"1"'),), "GET", "http://h/", False),
        ((("Accept", "*/*"),), "GET", "http://h/", True),
    ],
)
def test_condition_is_asked_of_the_url_that_gave_it(
    headers: tuple[tuple[str, str], ...], method: str, url: str, asked: bool
) -> None:
    condition = ("If-None-Match", '"1"')
    request = Request("http://h/", earlier=Earlier("http://h/", condition=condition))
    target, hop = target_of(request), target_of(Request(url))
    assert isinstance(target, Target)
    assert isinstance(hop, Target)
    plan = Plan(hop, headers, method=method)
    assert Conditional().before(Job(request, target), plan) is None  # type: ignore[func-returns-value]
    assert plan.condition == (condition if asked else None)
