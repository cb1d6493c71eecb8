"""What is asked for is what the URL says, byte for byte, whichever way it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http import Engine
from fetchpool.http.receiver import BodyPolicy
from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import Plan, Proxy
from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.network.connector import FetchConnector
from fetchpool.output.sinks.memory import MemoryStore
from tests.engine.rig import HEADERS, Visit, exchange_of, rig

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

TARGETS = [
    "/hello?",
    "/?",
    "/??",
    "/hello??",
    "/hello?&",
    "/hello?#",
    "/a?b?",
    "/%2e/%2E%2E/a",
    "/a%2fb%2F%5c",
    "/%7euser/%41%zz%",
    "/a;b=c;?d;e",
    "//",
    "//a//b//?//",
    "/.//a/..//b/",
    "/'\"()!*~$&+,=:@",
    "/a?'=%27&\"=%22",
    "/a?b=%20+%2B&c=%25",
    "/a?b=[c]{d}|e^f`g",
    "/a|b^c`d{e}[f]",
    "/:80/http://h.example/",
    "/?url=http://h.example/?a=b%26c",
    "/caf\u00e9?caf\u00e9",
    "/a%00b%0d%0aX:%20y",
    "/a\\b",
    "/ a?b c",
]


async def keep_answering(visit: Visit) -> None:
    """Answer every request alike."""
    while True:
        await visit.request()
        await visit.send(EMPTY)


async def asked(way: str, paths: list[str]) -> list[tuple[str, ...]]:
    """Return the request line, and the Host, with which each of *paths* is asked for."""
    async with rig(keep_answering, way=way) as it:
        for path in paths:
            await it.get(path)
        heads = [head.split("\r\n") for _, head in it.site.requests]
        return [
            (lines[0], *(line for line in lines if line.lower().startswith("host:")))
            for lines in ([part.replace(str(it.site.port), "PORT") for part in h] for h in heads)
        ]


@pytest.mark.parametrize("way", ["direct", "session"])
async def test_target_is_sent_as_the_url_has_it(way: str) -> None:
    expected = [f"GET {parse_url(f'http://h.example{path}').path} HTTP/1.1" for path in TARGETS]
    assert [line for line, *_ in await asked(way, TARGETS)] == expected
    assert expected[0] == "GET /hello? HTTP/1.1"


@pytest.mark.parametrize("way", ["direct", "session"])
async def test_proxy_is_asked_for_the_url_as_it_is(way: str) -> None:
    async with rig(keep_answering) as it:
        route = Proxy(f"http://127.0.0.1:{it.site.port}")
        connector = FetchConnector(idle_limit=1)
        exchange = exchange_of(way, connector)
        engine = Engine(exchange, connector, Timeouts(), BodyPolicy(), MemoryStore())
        try:
            urls = [parse_url(f"http://h.example:81{path}") for path in TARGETS]
            for url in urls:
                await engine.attempt(Plan(url, HEADERS, route=route), None)
        finally:
            await engine.close()
        lines = [head.partition("\r\n")[0] for _, head in it.site.requests]
        assert lines == [f"GET {url.url} HTTP/1.1" for url in urls]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def paths() -> st.SearchStrategy[str]:
    """Return a strategy for what may stand behind a host, mostly odd."""
    pieces = (
        "a / // . .. /./ %2e %2E%2e %41 %zz % %2F ? ?? # ; = & ' \" + : @ [ ] { } | ^ ` \\ ~ \u00e9"
    )
    return st.lists(st.sampled_from(pieces.split()) | st.text(max_size=2), max_size=8).map(
        lambda parts: "/" + "".join(parts)
    )


def is_accepted(path: str) -> bool:
    """Return whether *path* makes a URL."""
    with suppress(InvalidURLError):
        return bool(parse_url(f"http://127.0.0.1:1{path}"))
    return False


@given(st.lists(paths().filter(is_accepted), min_size=1, max_size=20))
@settings(max_examples=60)
def test_any_url_is_asked_for_alike_both_ways(runner: asyncio.Runner, paths: list[str]) -> None:
    direct = runner.run(asked("direct", paths))
    assert direct == runner.run(asked("session", paths))
    targets = [parse_url(f"http://127.0.0.1:1{path}").path for path in paths]
    assert [line for line, *_ in direct] == [f"GET {target} HTTP/1.1" for target in targets]
