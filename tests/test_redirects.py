"""Where a Location leads, and where it must not."""

from __future__ import annotations

import pytest

from fetchpool.model.values import Failure, FailureKind, Head
from fetchpool.scheduling.redirects import follow
from tests.judging import LOOPBACK, PUBLIC, job

BACK = "http://a.test/dir/1?q=1"


def hop(
    location: str, url: str = "http://a.test/dir/1?q=1", peer: str | None = LOOPBACK
) -> str | Failure:
    """Return where *location* leads from *url*, or why nowhere."""
    walker = job(url)
    failure = follow(walker, Head(302, (("location", location),)), peer, 10)
    return walker.target.url if failure is None else failure


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("http://b.test/x", "http://b.test/x"),
        ("https://b.test", "https://b.test/"),
        ("2", "http://a.test/dir/2"),
        ("/2", "http://a.test/2"),
        ("?p=2", "http://a.test/dir/1?p=2"),
        ("../2", "http://a.test/2"),
        ("//b.test:8080/x", "http://b.test:8080/x"),
        ("/with space", "http://a.test/with%20space"),
        ("/a%2fb", "http://a.test/a%2fb"),
        ("/\u00c3\u00a9", "http://a.test/%C3%A9"),
        ("/\u00e9", "http://a.test/%E9"),
        ("http://user:secret@b.test/", "http://b.test/"),
        ("/x#fragment", "http://a.test/x"),
        ("///b.test/x", "http://b.test/x"),
        ("http:///b.test/x", "http://b.test/x"),
        ("\\\\b.test\\x", "http://b.test/x"),
        ("/x?sig='a'", "http://a.test/x?sig='a'"),
        ("?q=1", "http://a.test/dir/1?q=1"),
        ("", "http://a.test/dir/1?q=1"),
    ],
)
def test_location_leads_where_a_browser_would_go(location: str, leads_to: str) -> None:
    assert hop(location) == leads_to


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://b.test/", "data:text/plain,x", "javascript:alert(1)", "FILE:/x"],
)
def test_other_schemes_are_blocked(location: str) -> None:
    failure = hop(location)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.BLOCKED
    assert failure.detail.startswith("redirect refused: ")


@pytest.mark.parametrize("location", ["http://b.test:99999/", "http:///", "http://[::1", "//"])
def test_location_that_is_no_url_is_unusable(location: str) -> None:
    failure = hop(location)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.REDIRECT
    assert "unusable Location" in failure.detail
    assert location not in failure.detail


@pytest.mark.parametrize(
    "locations", [["?q=1"], ["/other", "/dir/1?q=1"], ["http://b.test/", BACK]]
)
def test_url_may_be_met_again_while_hops_are_left(locations: list[str]) -> None:
    walker = job(BACK)
    heads = [Head(302, (("location", location),)) for location in locations]
    for number in range(6):
        assert follow(walker, heads[number % len(heads)], LOOPBACK, 6) is None
    assert walker.redirects == 6
    url = walker.target.url
    failure = follow(walker, heads[0], LOOPBACK, 6)
    assert failure == Failure(FailureKind.REDIRECT, "more than 6 redirects, in a circle")
    assert walker.target.url == url, "it stays where it was"


def test_chain_without_a_circle_is_told_apart() -> None:
    walker = job("http://a.test/0")
    for number in range(1, 4):
        head = Head(307, (("location", f"http://b{number}.test/"),))
        assert follow(walker, head, LOOPBACK, 3) is None
    failure = follow(walker, Head(308, (("location", "/"),)), LOOPBACK, 3)
    assert failure == Failure(FailureKind.REDIRECT, "more than 3 redirects")


def test_same_path_at_another_scheme_or_host_is_another_url() -> None:
    assert hop("https://a.test/dir/1?q=1") == "https://a.test/dir/1?q=1"


def test_url_may_be_met_again_by_another_attempt() -> None:
    walker = job("http://a.test/0")
    head = Head(302, (("location", "/1"),))
    assert follow(walker, head, LOOPBACK, 10) is None
    walker.start_over()
    assert follow(walker, head, LOOPBACK, 10) is None


@pytest.mark.parametrize(
    ("peer", "bound"), [(PUBLIC, True), (LOOPBACK, False), ("10.0.0.1", False), (None, False)]
)
def test_public_page_may_only_lead_to_public_addresses(peer: str | None, bound: bool) -> None:
    walker = job()
    follow(walker, Head(302, (("location", "http://127.0.0.1/"),)), peer, 10)
    assert walker.public_only is bound


def test_bound_to_public_addresses_once_is_bound_for_the_whole_chain() -> None:
    walker = job()
    follow(walker, Head(302, (("location", "/2"),)), PUBLIC, 10)
    follow(walker, Head(302, (("location", "/3"),)), "::1", 10)
    assert walker.public_only


def test_downgrade_to_plain_http_is_followed_and_told() -> None:
    walker = job("https://a.test/")
    assert follow(walker, Head(302, (("location", "http://a.test/"),)), LOOPBACK, 10) is None
    walker.start_attempt(1.0, 2.0, None)
    outcome = walker.failed(Failure(FailureKind.TIMEOUT, "no answer for 30 s"), 2.0)
    assert outcome.detail == "no answer for 30 s; redirected from https to plain http"
