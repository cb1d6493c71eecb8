"""Which answer leads to which outcome, where no socket is needed to tell: over aioresponses.

It stands in for `ClientSession._request`, so these go through the reference exchange; connections,
framing and time-outs are shown over real sockets elsewhere.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses

from fetchpool import Config, FailureKind, FetchPool, Outcome

URL = "http://a.test/page"


async def fetch_one(**config: Any) -> Outcome:
    """Return the outcome of `URL` through a pool of its own."""
    settings: dict[str, Any] = {"exchange": "session", "retries": 0, "proxy": "", **config}
    async with FetchPool(Config(**settings)) as pool:
        outcomes = [outcome async for outcome in pool.fetch([URL])]
    assert len(outcomes) == 1
    return outcomes[0]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (201, None),
        (204, None),
        (206, FailureKind.PROTOCOL),  # nobody asked for a part
        (304, FailureKind.STATUS),
        (404, FailureKind.STATUS),
        (429, FailureKind.STATUS),
        (500, FailureKind.STATUS),
        (999, FailureKind.STATUS),
    ],
)
async def test_status_decides_what_an_answer_is(status: int, error: FailureKind | None) -> None:
    with aioresponses() as web:
        web.get(URL, status=status, body=b"body")
        outcome = await fetch_one()
    assert (outcome.ok, outcome.error) == (error is None, error)
    assert outcome.attempts == 1
    if error in (None, FailureKind.STATUS):
        assert outcome.status == status


async def test_body_comes_back_as_it_was_sent() -> None:
    with aioresponses() as web:
        web.get(URL, body=b"whole", content_type="text/plain")
        outcome = await fetch_one(hash=True)
    assert (outcome.body, outcome.bytes, outcome.content_type) == (b"whole", 5, "text/plain")
    assert outcome.sha256 is not None


async def test_redirect_is_followed_hop_by_hop() -> None:
    with aioresponses() as web:
        web.get(URL, status=302, headers={"Location": "/next"})
        web.get("http://a.test/next", status=301, headers={"Location": "//b.test/"})
        web.get("http://b.test/", body=b"there")
        outcome = await fetch_one()
    assert (outcome.redirects, outcome.final_url, outcome.body) == (2, "http://b.test/", b"there")


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("/page", FailureKind.REDIRECT),
        ("http://a.test:99999/", FailureKind.REDIRECT),
        ("file:///etc/passwd", FailureKind.BLOCKED),
        ("javascript:alert(1)", FailureKind.BLOCKED),
    ],
)
async def test_location_that_leads_nowhere_is_no_answer(location: str, error: FailureKind) -> None:
    with aioresponses() as web:
        web.get(URL, status=302, headers={"Location": location}, repeat=True)
        outcome = await fetch_one()
    assert (outcome.error, outcome.status) == (error, 302)


async def test_without_redirects_the_3xx_is_the_answer() -> None:
    with aioresponses() as web:
        web.get(URL, status=302, headers={"Location": "/next"})
        outcome = await fetch_one(max_redirects=0)
    assert (outcome.error, outcome.status, outcome.redirects) == (FailureKind.STATUS, 302, 0)


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (aiohttp.ServerDisconnectedError(), FailureKind.CONNECT),
        (aiohttp.ClientOSError(104, "reset"), FailureKind.CONNECT),
        (aiohttp.ClientPayloadError("cut"), FailureKind.CONNECT),
        (TimeoutError(), FailureKind.TIMEOUT),
        (aiohttp.InvalidURL("x"), FailureKind.INPUT),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_trouble_becomes_a_value(trouble: Exception, error: FailureKind) -> None:
    with aioresponses() as web:
        web.get(URL, exception=trouble)
        outcome = await fetch_one()
    assert (outcome.ok, outcome.error, outcome.status) == (False, error, None)
    assert outcome.detail


async def test_encoding_that_is_lacking_is_no_body() -> None:
    with aioresponses() as web:
        web.get(URL, body=b"????", headers={"Content-Encoding": "exi"})
        outcome = await fetch_one()
    assert (outcome.error, outcome.body) == (FailureKind.DECODE, None)


async def test_encoding_that_nobody_registered_is_none() -> None:
    with aioresponses() as web:
        web.get(URL, body=b"????", headers={"Content-Encoding": "aws-chunked"})
        outcome = await fetch_one()
    assert (outcome.ok, outcome.body) == (True, b"????")
    assert "'aws-chunked'" in (outcome.detail or "")
