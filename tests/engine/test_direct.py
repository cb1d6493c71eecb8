"""The direct exchange: fast, and the same outcomes as `ClientSession.request` has."""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest

from fetchpool.config import Config
from fetchpool.http.direct import DirectExchange
from fetchpool.http.direct.exchange import Origin
from fetchpool.http.direct.protocol import receive_buffer
from fetchpool.http.exchange import Exchange
from fetchpool.http.session import SessionExchange
from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import FailedAttempt, Plan, Response
from fetchpool.model.urls import parse_url
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import FetchConnector, UnfitLibraryError, lending, make_connector
from fetchpool.pipeline.pool import make_exchange
from tests.engine.rig import Behaviour, Visit, body_of, rig
from tests.loops import Run
from tests.servers.tls import Authority


@pytest.fixture(scope="module")
def client_tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.ca.configure_trust(context)
    return context


def whole(body: bytes, *fields: bytes) -> bytes:
    """Return a 200 with *body*."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), lines, body)


def replies(make: Callable[[str], bytes]) -> Behaviour:
    """Answer each request of a connection with what *make* makes of its head."""

    async def behave(visit: Visit) -> None:
        while True:
            await visit.send(make(await visit.request()))

    return behave


def path_of(head: str) -> bytes:
    """Return the target that a request's head asks for."""
    return head.split(" ", 2)[1].encode()


echo = replies(lambda head: whole(path_of(head)))


# --- bodies

BIG = random.Random(1).randbytes(5_000_000)


def _chunked(body: bytes) -> bytes:
    sizes, parts, at = random.Random(2), [], 0
    while at < len(body):
        part = body[at : at + sizes.randrange(1, 300_000)]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
        at += len(part)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(parts) + b"0\r\n\r\n"


FRAMINGS = {
    "length": (whole(BIG), 1),
    "chunked": (_chunked(BIG), 1),
    "close": (b"HTTP/1.1 200 OK\r\n\r\n" + BIG, 2),
}


@pytest.mark.parametrize("framing", list(FRAMINGS))
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bodies_of_megabytes_arrive_as_they_were_sent(
    run: Run, framing: str, tls: bool, authority: Authority, client_tls: ssl.SSLContext
) -> None:
    data, connections = FRAMINGS[framing]

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(data)
        if framing != "close":
            await visit.request()
            await visit.send(data)

    async def work() -> None:
        contexts = {"server_tls": authority.contexts["good"], "client_tls": client_tls}
        async with rig(behave, **contexts if tls else {}) as it:  # type: ignore[arg-type]
            for reused in (False, connections == 1):
                result = await it.get()
                assert hashlib.sha256(body_of(result)).digest() == hashlib.sha256(BIG).digest()
                assert result.measures.wire_bytes == len(BIG)
                assert result.measures.reused is reused
            assert it.site.connections == connections

    run(work())


def test_unwanted_body_is_read_to_its_end_to_keep_the_connection(run: Run) -> None:
    async def work() -> None:
        missing = b"HTTP/1.1 404 No\r\nContent-Length: 30000\r\n\r\n" + b"." * 30_000
        async with rig(replies(lambda head: missing)) as it:
            for _ in range(3):
                result = await it.get()
                assert isinstance(result, Response)
                assert (result.head.status, result.stored) == (404, None)
            assert it.site.connections == 1

    run(work())


# --- connections


def test_connection_serves_one_request_after_another(run: Run) -> None:
    async def work() -> None:
        async with rig(echo) as it:
            for n in range(20):
                result = await it.get(f"/{n}")
                assert body_of(result) == b"/%d" % n
                assert result.measures.reused is (n > 0)
                assert result.measures.peer == "127.0.0.1"
            assert it.engine.connections_opened == it.site.connections == 1

    run(work())


def test_many_at_once_each_get_their_own_answer(run: Run) -> None:
    async def work() -> None:
        async with rig(echo) as it:

            async def worker(name: str) -> None:
                for n in range(30):
                    assert body_of(await it.get(f"/{name}/{n}")) == f"/{name}/{n}".encode()

            await asyncio.gather(*(worker(f"w{n}") for n in range(10)))
            assert it.site.connections <= 10

    run(work())


def test_limits_of_the_connector_hold(run: Run) -> None:
    now, peaks = 0, [0]

    async def behave(visit: Visit) -> None:
        nonlocal now
        while True:
            await visit.request()
            now += 1
            peaks.append(now)
            await asyncio.sleep(0.001)
            now -= 1
            await visit.send(whole(b"x"))

    async def work() -> None:
        async with rig(behave, limit=4, limit_per_host=3) as it:
            for result in await asyncio.gather(*(it.get(f"/{n}") for n in range(30))):
                assert body_of(result) == b"x"
            assert it.site.connections <= 3

    run(work())
    assert max(peaks) == 3


def test_force_close_makes_a_connection_a_request_and_says_so(run: Run) -> None:
    async def work() -> None:
        async with rig(echo, force_close=True) as it:
            for n in range(3):
                assert body_of(await it.get(f"/{n}")) == b"/%d" % n
            assert it.site.connections == 3
            assert all("Connection: close\r\n" in head for _, head in it.site.requests)

    run(work())


def answer_then_wait(data: bytes) -> Behaviour:
    """Answer one request with *data* and wait for the client to close."""

    async def behave(visit: Visit) -> None:
        head = await visit.request()
        await visit.send(data or whole(path_of(head)))
        await visit.gone()

    return behave


@pytest.mark.parametrize(
    "data",
    [
        whole(b"yes", b"Connection: close"),
        whole(b"yes").replace(b"1.1", b"1.0"),
        whole(b"yes") + b"junk",
        whole(b"yes") + b"HTTP/1.1 2",
        whole(b"yes") + whole(b"no"),
        whole(b"yes") * 20,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"
        + whole(b"no"),
        b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 304 No\r\n\r\nno",
        b"HTTP/1.1 302 To\r\nLocation: /x\r\nContent-Length: 9\r\n\r\nno",
        b"HTTP/1.1 404 No\r\nContent-Length: 90000\r\n\r\nno",
    ],
)
def test_connection_unfit_for_another_request_is_closed(run: Run, data: bytes) -> None:
    async def work() -> None:
        async with rig(answer_then_wait(data)) as it:
            result = await it.get()
            assert isinstance(result, Response)
            if result.head.status == 200:
                assert body_of(result) == b"yes"
            await it.site.closed.wait()
            assert not it.connector.idle

    run(work())


def test_http_1_0_keeps_alive_where_it_says_so(run: Run) -> None:
    async def work() -> None:
        answer = whole(b"yes", b"Connection: keep-alive").replace(b"1.1", b"1.0")
        async with rig(replies(lambda head: answer)) as it:
            for _ in range(3):
                assert body_of(await it.get()) == b"yes"
            assert it.site.connections == 1

    run(work())


def test_bytes_on_an_idle_connection_close_it_and_answer_nobody(run: Run) -> None:
    async def behave(visit: Visit) -> None:
        head = await visit.request()
        await visit.send(whole(path_of(head)))
        if visit.number == 1:
            await visit.request()
            await visit.send(whole(b"/2"))
            await asyncio.sleep(0.01)
            await visit.send(whole(b"poison"))
            await visit.gone()

    async def work() -> None:
        async with rig(behave) as it:
            assert body_of(await it.get("/1")) == b"/1"
            assert body_of(await it.get("/2")) == b"/2"
            await it.site.closed.wait()
            assert not it.connector.idle
            assert body_of(await it.get("/3")) == b"/3"
            assert it.site.connections == 2

    run(work())


def test_server_that_speaks_first_is_taken_at_its_word(run: Run) -> None:
    async def behave(visit: Visit) -> None:
        await visit.send(whole(b"early"))
        await visit.gone()

    async def banner(visit: Visit) -> None:
        await visit.send(b"SSH-2.0-OpenSSH_9.6\r\n")
        await visit.gone()

    async def work() -> None:
        for _ in range(20):  # whether the bytes are there before the request is a race
            async with rig(behave) as it:
                assert body_of(await it.get()) == b"early"
            async with rig(banner) as it:
                result = await it.get()
                assert isinstance(result, FailedAttempt)
                assert result.failure.kind is FailureKind.PROTOCOL

    run(work())


def test_kept_connection_that_its_server_has_closed_costs_no_attempt(run: Run) -> None:
    async def behave(visit: Visit) -> None:
        head = await visit.request()
        await visit.send(whole(path_of(head)))
        if visit.number == 1:
            await visit.request()  # and close

    async def work() -> None:
        async with rig(behave) as it:
            assert body_of(await it.get("/1")) == b"/1"
            result = await it.get("/2")
            assert body_of(result) == b"/2"
            assert result.measures.reused is False
            assert [number for number, _ in it.site.requests] == [1, 1, 2]

    run(work())


async def _close_at_once(visit: Visit) -> None:
    await visit.request()


def test_new_connection_closed_without_an_answer_is_a_miss(run: Run) -> None:
    async def work() -> None:
        async with rig(_close_at_once) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert (result.failure.kind, result.transient) == (FailureKind.CONNECT, True)
            assert len(it.site.requests) == 1

    run(work())


async def _never_answer(visit: Visit) -> None:
    await visit.request()
    await visit.gone()


def test_cancelled_exchange_closes_its_connection(run: Run) -> None:
    async def work() -> None:
        async with rig(_never_answer) as it:
            task = asyncio.create_task(it.get())
            await it.site.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await it.site.closed.wait()
            assert not it.connector._acquired

    run(work())


def test_silence_times_out_and_closes_the_connection(run: Run) -> None:
    async def work() -> None:
        async with rig(_never_answer, timeouts=Timeouts(silence_s=0.05)) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.TIMEOUT
            await it.site.closed.wait()

    run(work())


def test_idle_connections_are_closed_when_their_time_is_up(run: Run) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(whole(b"x"))
        await visit.gone()

    async def work() -> None:
        async with rig(behave, keepalive_timeout=15) as it:
            await it.get()
            (since,) = it.connector.idle.values()
            it.connector.sweep(since + 14.9)
            assert len(it.connector.idle) == 1
            it.connector.sweep(since + 15)
            await it.site.closed.wait()
            assert not it.connector.idle

    run(work())


def test_idle_connections_are_bounded(run: Run) -> None:
    async def work() -> None:
        async with rig(echo, idle_limit=2) as it:
            await asyncio.gather(*(it.get(f"/{n}") for n in range(10)))
            assert len(it.connector.idle) <= 2
            # aiohttp's own books hold no more: hosts met once would add up in them.
            assert sum(map(len, it.connector._conns.values())) == len(it.connector.idle)

    run(work())


def test_public_only_refuses_a_kept_connection_and_sends_nothing(run: Run) -> None:
    async def work() -> None:
        async with rig(echo) as it:
            await it.get("/1")
            result = await it.get("/2", public_only=True)
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.BLOCKED
            assert body_of(await it.get("/3")) == b"/3"
            assert [head.split(" ")[1] for _, head in it.site.requests] == ["/1", "/3"]

    run(work())


def test_both_ways_use_one_connection_in_turn(run: Run) -> None:
    async def work() -> None:
        async with rig(echo) as it:
            session = SessionExchange(it.connector)
            direct = it.exchange
            for n in range(6):
                it.engine._exchange = (direct, session)[n % 2]
                result = await it.get(f"/{n}")
                assert body_of(result) == b"/%d" % n
            assert it.site.connections == 1
            await session._session.close()

    run(work())


# --- requests


def request_for(url: str, *fields: tuple[str, str], force_close: bool = False) -> bytes:
    target = parse_url(url)
    return Origin(target, force_close=force_close).request(Plan(target, fields))


def test_request_keeps_the_urls_bytes() -> None:
    assert request_for("http://h.example/a%2Fb/../%zz?x={1}&y", ("Accept", "*/*")) == (
        b"GET /%zz?x={1}&y HTTP/1.1\r\nHost: h.example\r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h.example/", b"h.example"),
        ("http://h.example:81/", b"h.example:81"),
        ("https://h.example:80/", b"h.example:80"),
        ("http://[::1]:81/", b"[::1]:81"),
        ("http://[::1]/", b"[::1]"),
    ],
)
def test_request_names_the_host(url: str, host: bytes) -> None:
    assert request_for(url).split(b"\r\n")[1] == b"Host: " + host


def test_users_own_host_and_connection_headers_stand_alone() -> None:
    fields = (("host", "other"), ("CONNECTION", "keep-alive"))
    sent = request_for("http://h.example/", *fields, force_close=True)
    assert sent == b"GET / HTTP/1.1\r\nhost: other\r\nCONNECTION: keep-alive\r\n\r\n"


@pytest.mark.parametrize("field", [("X", "a\r\nY: b"), ("X\n", "a"), ("X", "a\0")])
def test_header_that_would_be_two_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="line end"):
        request_for("http://h.example/", field)


def test_other_headers_make_another_request() -> None:
    target = parse_url("http://h.example/x")
    origin = Origin(target, force_close=False)
    assert b"A: 1" in origin.request(Plan(target, (("A", "1"),)))
    assert b"A: 2" in origin.request(Plan(target, (("A", "2"),)))
    assert b"A: " not in origin.request(Plan(target, ()))


# --- which way


async def exchange_for(**options: Any) -> tuple[Exchange, FetchConnector]:
    config = Config(**options)
    connector = make_connector(config, limit=2, idle_limit=2)
    return make_exchange(config, connector), connector


@pytest.mark.parametrize(
    ("way", "kind"),
    [("auto", DirectExchange), ("direct", DirectExchange), ("session", SessionExchange)],
)
async def test_exchange_is_the_one_asked_for(way: str, kind: type[Exchange]) -> None:
    exchange, _ = await exchange_for(exchange=way)
    assert type(exchange) is kind
    await exchange.close()


def _break_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lending, "KEY_FIELDS", ("host", "port"))


def _break_connect(patch: pytest.MonkeyPatch) -> None:
    async def connect(self: object, request: object) -> None: ...

    patch.setattr(aiohttp.TCPConnector, "connect", connect)


@pytest.mark.parametrize("break_it", [_break_key, _break_connect])
async def test_another_aiohttp_is_used_through_its_sessions(
    break_it: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        break_it(patch)
        with caplog.at_level("INFO", "fetchpool"):
            exchange, _ = await exchange_for(exchange="auto")
        with pytest.raises(UnfitLibraryError):  # nobody gets another way than he asked for
            await exchange_for(exchange="direct")
    assert type(exchange) is SessionExchange
    assert "no direct exchange" in caplog.text
    await exchange.close()


def test_each_thread_receives_into_a_buffer_of_its_own() -> None:
    """Another thread's event loop may run between the filling of a buffer and its reading."""
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(receive_buffer).result()
    assert receive_buffer() is receive_buffer()
    assert theirs is not receive_buffer()
