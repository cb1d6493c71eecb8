"""What must come out alike, whichever way an answer is read: cases in which the moment matters."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Literal, TypeAlias

import pytest

from fetchpool import Config, FetchPool, Outcome
from fetchpool.model.attempts import FailedAttempt
from fetchpool.model.values import FailureKind
from tests.engine.rig import Visit, body_of, rig
from tests.loops import LOOPS, Run
from tests.servers.tls import Authority

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


Way: TypeAlias = Literal["direct", "session"]


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.mark.parametrize(
    "rest",
    [
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5;\rx",
        b"5\r\nhello\r\n0\r\nX:\rx",
        b"5\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        b"1_0\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_framing_that_breaks_after_the_head_was_read_is_told_at_once(
    run: Run, way: str, rest: bytes, step: int
) -> None:
    """The server leaves the connection open: only a time-out would come to the end of waiting."""

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(CHUNKED)
        with suppress(ConnectionError, RuntimeError):  # uvloop's for a closed transport
            for at in range(0, len(rest), step):
                await asyncio.sleep(0.002)  # mostly a read of its own
                await visit.send(rest[at : at + step])
        await visit.gone()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.PROTOCOL
            await it.site.closed.wait()

    run(work())


def test_server_that_answers_when_it_is_connected_to_answers_one_request_that_way(
    run: Run, way: str
) -> None:
    """What it says to the request itself would be the next one's answer."""

    async def behave(visit: Visit) -> None:
        await visit.send(OK + b"Content-Length: 6\r\n\r\nsooner")
        while True:
            path = (await visit.request()).split(" ")[1].encode()
            await visit.send(OK + b"Content-Length: %d\r\n\r\n%s" % (len(path), path))

    async def work() -> None:
        async with rig(behave, way=way) as it:
            bodies = [body_of(await it.get(f"/{number}")) for number in range(10)]
            assert set(bodies) == {b"sooner"}
            assert it.site.connections == 10

    run(work())


def test_end_of_an_answer_that_comes_late_costs_the_next_url_nothing(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")
        await visit.request()
        await visit.send(b"0\r\n\r\n")
        await visit.gone()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            assert [body_of(await it.get(f"/{n}")) for n in range(4)] == [b"ok"] * 4
            assert it.site.connections == 4

    run(work())


def test_url_that_gets_no_http_is_asked_for_twice_at_most(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        while True:
            path = (await visit.request()).split(" ")[1]
            await visit.send(b"no HTTP" if path == "/bad" else CHUNKED + b"0\r\n\r\n")

    async def work() -> None:
        async with rig(behave, way=way) as it:
            await asyncio.gather(*(it.get(f"/{number}") for number in range(8)))
            result = await it.get("/bad")
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.PROTOCOL
            assert sum("/bad" in head for _, head in it.site.requests) == 2

    run(work())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("loop", LOOPS)
def test_server_that_wants_a_certificate_is_no_matter_of_trying_again(
    tmp_path: Path, authority: Authority, way: Way, loop: str, version: ssl.TLSVersion
) -> None:
    """Under TLS 1.3 it says so after the handshake, when it is to answer."""
    context = authority.fresh(version)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as secure:
            with suppress(ssl.SSLError):
                secure.do_handshake()
            # Closed with the request unread, it would be reset, and what it said be lost.
            secure.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while secure.recv(4096):
                    pass

    async def fetch() -> list[Outcome]:
        roots = str(authority.write_roots(tmp_path / "roots.pem"))
        async with FetchPool(Config(cacert=roots, exchange=way, retries=2)) as pool:
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            return [outcome async for outcome in pool.fetch([url])]

    thread = Thread(target=refuse)
    thread.start()
    with listening, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        (outcome,) = runner.run(fetch())
    thread.join()
    assert (outcome.error, outcome.attempts) == (FailureKind.TLS, 1), outcome.detail


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_body_that_only_the_end_of_tls_ends_is_whole_where_that_was_said(
    run: Run, authority: Authority, way: Way, version: ssl.TLSVersion, says_goodbye: bool
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK + b"\r\n" + b"all there is")
        if not says_goodbye:
            visit.writer.transport.abort()

    async def work() -> None:
        trust = ssl.create_default_context()
        authority.ca.configure_trust(trust)
        served = authority.fresh(version)
        async with rig(behave, way=way, server_tls=served, client_tls=trust) as it:
            result = await it.get()
            if says_goodbye:
                assert body_of(result) == b"all there is"
            else:
                assert isinstance(result, FailedAttempt)
                assert result.failure.kind is FailureKind.TRUNCATED
                assert result.transient
                assert "close_notify" in result.failure.detail

    run(work())


@pytest.mark.parametrize("coding", ["gzip", "none"])
@pytest.mark.parametrize("loop", LOOPS)
def test_body_that_came_before_its_tls_connection_was_torn_is_whole(
    tmp_path: Path, authority: Authority, way: Way, loop: str, coding: str
) -> None:
    """However far behind its reader is: an event loop may tell of the end before the bytes."""
    body = random.Random(1).randbytes(4 << 20)
    sent = gzip.compress(body, 1) if coding == "gzip" else body
    head = OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(sent)}\r\n\r\n".encode()
    context = authority.fresh()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            plain, _ = listening.accept()
            secure = context.wrap_socket(plain, server_side=True)
            secure.recv(4096)
            secure.sendall(head + sent)
            with socket.socket(fileno=secure.detach()) as torn:
                torn.shutdown(socket.SHUT_WR)
                while torn.recv(4096):
                    pass

    async def fetch() -> list[Outcome]:
        roots = str(authority.write_roots(tmp_path / "roots.pem"))
        async with FetchPool(Config(cacert=roots, exchange=way, retries=0, per_host=1)) as pool:
            urls = [f"https://127.0.0.1:{listening.getsockname()[1]}/{n}" for n in range(2)]
            return [outcome async for outcome in pool.fetch(urls)]

    thread = Thread(target=serve, daemon=True)
    thread.start()
    with listening, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        outcomes = runner.run(fetch())
    assert [(each.error, each.body == body) for each in outcomes] == [(None, True)] * 2
    thread.join()
