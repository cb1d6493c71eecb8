"""Sessions of TLS are taken up again where that saves something, and are no way around anything."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

import pytest
import trustme

from fetchpool import Config, FetchPool, Outcome
from fetchpool.network.tls import MAX_HOSTS, ClientContext
from tests.loops import LOOPS
from tests.servers.counting import CountingServer
from tests.servers.tls import NAMES, Authority

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def roots(authority: Authority, tmp_path: Path) -> str:
    return str(authority.write_roots(tmp_path / "roots.pem"))


async def _in_turn(
    roots: str, urls: list[str], exchange: Literal["direct", "session"] = "direct"
) -> list[Outcome]:
    """Fetch *urls* one after the other, each over a new connection."""
    config = Config(
        cacert=roots,
        force_close=True,
        limit=1,
        retries=1,
        connect_timeout=1.0,
        exchange=exchange,
    )
    outcomes = []
    async with FetchPool(config) as pool:
        for url in urls:
            outcomes += [outcome async for outcome in pool.fetch([url])]
    return outcomes


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("exchange", ["direct", "session"])
@pytest.mark.parametrize("loop", LOOPS)
def test_third_connection_and_later_ones_take_up_a_session(
    authority: Authority,
    roots: str,
    version: ssl.TLSVersion,
    exchange: Literal["direct", "session"],
    loop: str,
) -> None:
    context = authority.fresh(version)
    with (
        CountingServer(context=context) as server,
        asyncio.Runner(loop_factory=LOOPS[loop]) as runner,
    ):
        urls = [server.url(f"/{n}") for n in range(6)]
        outcomes = runner.run(_in_turn(roots, urls, exchange))
        assert [outcome.ok for outcome in outcomes] == [True] * 6
        assert server.counts.connections == 6
        assert context.session_stats()["hits"] == 4


def test_session_is_no_way_around_a_certificate(authority: Authority, roots: str) -> None:
    """The name is the same, the second server can't show that it is its own."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*NAMES).configure_cert(stranger)
    with CountingServer(context=authority.fresh()) as good, CountingServer(context=stranger) as bad:
        urls = [good.url(f"/{n}") for n in range(4)] + [bad.url("/stolen")]
        outcomes = asyncio.run(_in_turn(roots, urls))
        assert [outcome.error for outcome in outcomes] == [None] * 4 + ["tls"]
        assert bad.counts.hits == []


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_server_that_does_not_know_the_session_makes_a_new_one(
    authority: Authority, roots: str, version: ssl.TLSVersion
) -> None:
    contexts = [authority.fresh(version) for _ in range(2)]
    with ExitStack() as stack:
        servers = [stack.enter_context(CountingServer(context=context)) for context in contexts]
        urls = [servers[n > 3].url(f"/{n}") for n in range(10)]
        outcomes = asyncio.run(_in_turn(roots, urls))
    assert [outcome.ok for outcome in outcomes] == [True] * 10
    assert [context.session_stats()["hits"] for context in contexts] == [2, 4]


def test_kept_connections_need_no_session(authority: Authority, roots: str) -> None:
    context = authority.fresh()

    async def work() -> int:
        async with FetchPool(Config(cacert=roots, limit=1)) as pool:
            return len([each async for each in pool.fetch(server.url(f"/{n}") for n in range(9))])

    with CountingServer(context=context) as server:
        assert asyncio.run(work()) == 9
        assert server.counts.connections == 1
        assert context.session_stats()["hits"] == 0


# -- a server that fails where it is asked to take one up -----------------------------------------

SESSION_TICKET, PRE_SHARED_KEY = 35, 41  # extensions of a ClientHello (RFC 5077, RFC 8446 §4.2)
HANDSHAKE_FAILURE = bytes((21, 3, 3, 0, 2, 2, 40))  # an alert (RFC 8446 §6)


def offers_session(hello: bytes) -> bool:
    """Tell whether the ClientHello in the record *hello* offers a session to take up."""
    at = 5 + 4 + 2 + 32  # record, message, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher suites
    at += 1 + hello[at] + 2  # compression
    while at + 4 <= len(hello):
        kind, length = (int.from_bytes(hello[at + n : at + n + 2], "big") for n in (0, 2))
        if kind == PRE_SHARED_KEY or (kind == SESSION_TICKET and length):
            return True
        at += 4 + length
    return False


@contextmanager
def stumbling(context: ssl.SSLContext, how: str) -> Iterator[tuple[int, list[bool]]]:
    """Serve on a port; yield it and, growing, whether each connection offered a session.

    One that did is refused: by an `alert`, a `reset`, or `silence` until the client leaves.
    """
    offered: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    with peer:
                        answer(peer)

        def answer(peer: socket.socket) -> None:
            hello = peer.recv(16_384, socket.MSG_PEEK)
            offered.append(offers_session(hello))
            if offered[-1]:
                if how == "reset":
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                peer.recv(len(hello))
                if how == "alert":
                    peer.sendall(HANDSHAKE_FAILURE)
                with suppress(ConnectionError):
                    while peer.recv(16_384):
                        pass
                return
            with context.wrap_socket(peer, server_side=True) as tls:
                tls.recv(16_384)
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                tls.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], offered
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("how", ["alert", "reset", "silence"])
@pytest.mark.parametrize("loop", LOOPS)
def test_server_that_stumbles_over_a_session_costs_no_url(
    authority: Authority, roots: str, version: ssl.TLSVersion, how: str, loop: str
) -> None:
    with (
        stumbling(authority.fresh(version), how) as (port, offered),
        asyncio.Runner(loop_factory=LOOPS[loop]) as runner,
    ):
        urls = [f"https://127.0.0.1:{port}/{n}" for n in range(6)]
        outcomes = runner.run(_in_turn(roots, urls))
    attempts = [1, 1, 2 if how == "silence" else 1, 1, 1, 1]
    assert [(each.error, each.attempts) for each in outcomes] == [(None, n) for n in attempts]
    assert offered == [False, False, True, False, False, False, False]


# -- what is kept ---------------------------------------------------------------------------------


class Connection:
    """What a context asks of an SSLObject."""

    def __init__(self, host: str, *, reused: bool = False) -> None:
        self.server_hostname = host
        self.session_reused = reused
        self.session = self
        self.has_ticket = True
        self.id = b""


def test_no_more_than_so_many_hosts_are_known() -> None:
    context = ClientContext(ssl.create_default_context)
    for n in range(3 * MAX_HOSTS):
        for _ in range(2):
            context.note_session(Connection(f"h{n}.example"))  # type: ignore[arg-type]
    known = [n for n in range(3 * MAX_HOSTS) if context.session_for(f"h{n}.example")]
    assert known == [*range(2 * MAX_HOSTS, 3 * MAX_HOSTS)]


def test_session_without_a_handle_is_not_kept() -> None:
    context = ClientContext(ssl.create_default_context)
    connection = Connection("h.example")
    connection.has_ticket = False
    for _ in range(3):
        context.note_session(connection)  # type: ignore[arg-type]
    assert context.session_for("h.example") is None


def test_host_that_stumbled_is_offered_no_session_again() -> None:
    """Several connections may have offered one by then: each can tell that it did."""
    context = ClientContext(ssl.create_default_context)
    for _ in range(2):
        context.note_session(Connection("h.example"))  # type: ignore[arg-type]
    before = context.offers("h.example")
    assert context.session_for("h.example") is not None
    assert context.session_for("h.example") is not None
    context.resume_no_more("h.example")
    assert context.offers("h.example") == before + 2
    for _ in range(3):
        context.note_session(Connection("h.example"))  # type: ignore[arg-type]
        assert context.session_for("h.example") is None
