"""The hosts of the demo, each with one habit of real servers."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

SLOW_S = 0.7
"""How long the slow host takes for a response."""

BUSY_PER_S = 10
"""Requests a second that the busy host accepts."""


@dataclass(frozen=True, slots=True)
class DemoHost:
    """A host: the paths of its URLs in the list, and the handler that responds."""

    name: str
    paths: tuple[str, ...]
    make_handler: Callable[[], Handler]
    """Returns a handler that has seen no request yet."""


def _page(request: web.BaseRequest, lines: int = 40) -> str:
    line = f"This is line {{}} of {request.path}, a page of the demo.\n"
    return "".join(line.format(number) for number in range(1, lines + 1))


def _numbered(pattern: str, count: int) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in range(1, count + 1))


def fast() -> Handler:
    """Respond at once, with 404 for missing pages."""

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/gone"):
            return web.Response(status=404, text="no such page\n")
        return web.Response(text=_page(request))

    return answer


def slow() -> Handler:
    """Respond after `SLOW_S`."""

    async def answer(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(SLOW_S)
        return web.Response(text=_page(request))

    return answer


def moved() -> Handler:
    """Send each `/old/…` to its `/new/…`."""

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/old/"):
            location = request.path.replace("/old/", "/new/", 1)
            return web.Response(status=301, headers={"Location": location})
        return web.Response(text=_page(request))

    return answer


def packed() -> Handler:
    """Respond with bodies packed by gzip."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(
            body=gzip.compress(_page(request, lines=400).encode(), compresslevel=1),
            headers={"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"},
        )

    return answer


def flaky() -> Handler:
    """Fail the first request for each page; the second succeeds."""
    seen: Counter[str] = Counter()

    async def answer(request: web.BaseRequest) -> web.Response:
        seen[request.path] += 1
        if seen[request.path] == 1:
            return web.Response(status=502, text="try again\n")
        return web.Response(text=_page(request))

    return answer


def busy() -> Handler:
    """Refuse what comes faster than `BUSY_PER_S` with 429 and `Retry-After: 1`."""
    since = float("-inf")
    served = 0

    async def answer(request: web.BaseRequest) -> web.Response:
        nonlocal since, served
        now = monotonic()
        if now - since >= 1.0:
            since, served = now, 0
        served += 1
        if served > BUSY_PER_S:
            return web.Response(status=429, headers={"Retry-After": "1"}, text="slow down\n")
        return web.Response(text=_page(request))

    return answer


def cutting() -> Handler:
    """Break off bodies: of `/once…` only the first time, of all others always."""
    seen: Counter[str] = Counter()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen[request.path] += 1
        text = _page(request).encode()
        if request.path.startswith("/once") and seen[request.path] > 1:
            return web.Response(body=text)
        response = web.StreamResponse(headers={"Content-Length": str(len(text))})
        await response.prepare(request)
        await response.write(text[: len(text) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    return answer


HOSTS = (
    # The slow host comes first, where it would delay most if hosts had to wait for each other.
    DemoHost("slow", _numbered("/report-{}.txt", 100), slow),
    DemoHost("fast", _numbered("/page-{}.txt", 150) + _numbered("/gone-{}.txt", 12), fast),
    DemoHost("packed", _numbered("/book-{}.txt", 40), packed),
    DemoHost("moved", _numbered("/old/page-{}.txt", 30), moved),
    DemoHost("busy", _numbered("/api-{}.json", 30), busy),
    DemoHost("flaky", _numbered("/page-{}.txt", 12), flaky),
    DemoHost("cutting", _numbered("/once-{}.txt", 4) + _numbered("/always-{}.txt", 2), cutting),
)
