"""What a failure says: what happened, and how far the attempt had come, both ways on each loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import FailedAttempt
from fetchpool.model.values import FailureKind
from fetchpool.network.resolver import RememberingResolver
from tests.engine.rig import Behaviour, Rig, Visit, rig
from tests.loops import Run
from tests.servers.tls import Authority

OK = b"HTTP/1.1 200 OK\r\n"
HURRIED = Timeouts(connect_s=0.3, silence_s=0.3)


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def close(visit: Visit) -> None:
    """End the connection in an orderly way."""


async def reset(visit: Visit) -> None:
    """End the connection with RST."""
    raw = visit.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.writer.transport.abort()


async def stall(visit: Visit) -> None:
    """Say nothing more."""
    await visit.gone()


def ending(data: bytes, end: Behaviour, *, listens: bool = True) -> Behaviour:
    """Return a behaviour that says *data* to a request, then does *end*."""

    async def behave(visit: Visit) -> None:
        if listens:
            await visit.request()
        if data:
            await visit.send(data)
            if end is reset:
                await asyncio.sleep(0.05)  # a reset may throw away what lies unread
        await end(visit)

    return behave


CUT_HEAD = OK + b"Content-Le"
CUT_BODY = OK + b"Content-Length: 9\r\n\r\nfive."
CUT_CHUNK = OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nfive."


@pytest.mark.parametrize(
    ("data", "end", "kind", "detail"),
    [
        (b"", close, "connect", "the server closed the connection after the request was sent"),
        (b"", reset, "connect", "connection reset by peer after the request was sent"),
        (b"", stall, "timeout", "no answer for 0.3 s, after the request was sent"),
        (CUT_HEAD, close, "connect", "the server closed the connection within the head"),
        (CUT_HEAD, reset, "connect", "connection reset by peer within the head"),
        (CUT_HEAD, stall, "timeout", "silence for 0.3 s, within the head"),
        (CUT_BODY, close, "truncated", "the server closed the connection within the body"),
        (CUT_BODY, reset, "truncated", "connection reset by peer within the body"),
        (CUT_BODY, stall, "timeout", "silence for 0.3 s, within the body"),
        (CUT_CHUNK, close, "truncated", "the server closed the connection within the body"),
        (CUT_CHUNK, reset, "truncated", "connection reset by peer within the body"),
        (CUT_CHUNK, stall, "timeout", "silence for 0.3 s, within the body"),
        (OK + b"\r\nfive.", reset, "truncated", "connection reset by peer within the body"),
    ],
)
def test_end_of_an_exchange_says_where_it_came(
    run: Run, way: str, data: bytes, end: Behaviour, kind: str, detail: str
) -> None:
    async def work() -> None:
        async with rig(ending(data, end), way=way, timeouts=HURRIED) as it:
            await check(it, kind, detail)

    run(work())


async def check(it: Rig, kind: str, detail: str) -> None:
    """Make an attempt and assert that it fails so."""
    result = await it.get()
    assert isinstance(result, FailedAttempt)
    assert result.failure.kind is FailureKind(kind), result.failure
    assert result.failure.detail.startswith(detail)


@pytest.mark.parametrize(
    ("data", "end", "kind", "what"),
    [
        (b"", close, "connect", "the server closed the connection"),
        (b"", reset, "connect", "connection reset by peer"),
        (b"", stall, "timeout", "no connection within 0.3 s,"),
        (b"\x16\x03\x03\x40\x00\x02", close, "connect", "the server closed the connection"),
        (b"\x16\x03\x03\x40\x00\x02", reset, "connect", "connection reset by peer"),
    ],
)
@pytest.mark.parametrize("verifies", [True, False])
def test_handshake_that_is_broken_off_is_told_as_one(
    run: Run, way: str, data: bytes, end: Behaviour, kind: str, what: str, verifies: bool
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.reader.read(1)  # of the ClientHello
        await ending(data, end, listens=False)(visit)

    async def work() -> None:
        trust = ssl.create_default_context()
        if not verifies:
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
        async with rig(behave, way=way, client_tls=trust, timeouts=HURRIED) as it:
            it.scheme = "https"
            await check(it, kind, f"{what} during the TLS handshake")

    run(work())


@pytest.mark.parametrize(
    ("data", "end", "kind", "detail"),
    [
        (b"", close, "connect", "the proxy closed the connection when it was asked for a tunnel"),
        (b"", reset, "connect", "the proxy closed the connection when it was asked for a tunnel"),
        (b"", stall, "connect", "the proxy can't be reached, or doesn't answer"),
        (OK + b"\r\n", close, "connect", "the server closed the connection during the TLS"),
        (OK + b"\r\n", stall, "timeout", "no connection within 0.3 s, during the TLS handshake"),
    ],
)
def test_way_through_a_proxy_says_how_far_it_came(
    run: Run, way: str, data: bytes, end: Behaviour, kind: str, detail: str
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        if data:
            await visit.send(data)
            await visit.reader.read(1)  # of the ClientHello
        await end(visit)

    async def work() -> None:
        async with rig(behave, timeouts=HURRIED) as it:
            it.scheme = "https"
            proxy = f"http://127.0.0.1:{it.site.port}"
            it.go_through(proxy, way)
            await check(it, kind, detail)

    run(work())


@pytest.mark.parametrize("end", [close, reset])
def test_tls_connection_that_ends_after_its_handshake_says_so(
    run: Run, way: str, authority: Authority, end: Behaviour
) -> None:
    async def work() -> None:
        trust = ssl.create_default_context()
        authority.ca.configure_trust(trust)
        tls = authority.fresh()
        behave = ending(b"", end)
        async with rig(behave, way=way, server_tls=tls, client_tls=trust) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.CONNECT
            assert result.failure.detail.endswith(" after the request was sent")

    run(work())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_that_is_refused_was_being_made(run: Run, way: str, scheme: str) -> None:
    async def work() -> None:
        async with rig(close, way=way) as it:
            with socket.create_server(("127.0.0.1", 0)) as unused:
                it.site.port = unused.getsockname()[1]
            it.scheme = scheme
            await check(it, "connect", "connection refused while connecting")

    run(work())


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that lets nobody connect, and refuses nobody."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connection_that_is_not_made_in_time_was_being_made(
    run: Run, way: str, scheme: str, deaf_port: int
) -> None:
    async def work() -> None:
        async with rig(close, way=way, timeouts=HURRIED) as it:
            it.site.port, it.scheme = deaf_port, scheme
            await check(it, "timeout", "no connection within 0.3 s, while connecting")

    run(work())


def test_name_that_is_not_found_in_time_was_being_looked_up(
    run: Run, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*args: object, **options: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(RememberingResolver, "resolve", resolve)

    async def work() -> None:
        async with rig(close, way=way, timeouts=HURRIED) as it:
            it.host = "slow.example"
            await check(it, "timeout", "no connection within 0.3 s, while its name was looked up")

    run(work())


def test_budget_that_is_used_up_says_where(run: Run, way: str) -> None:
    async def work() -> None:
        async with rig(ending(CUT_BODY, stall), way=way) as it:
            result = await it.engine.attempt(it.plan(), 0.3)
            assert isinstance(result, FailedAttempt)
            expected = "took longer than --timeout allows, within the body"
            assert result.failure.detail == expected

    run(work())
