"""What a server sends unasked on a kept connection goes with it, whoever reads the answers."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from fetchpool.http import Engine
from fetchpool.http.receiver import BodyPolicy
from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import Plan, Response
from fetchpool.model.urls import parse_url
from fetchpool.network.connector import FetchConnector, Handler
from fetchpool.output.sinks.memory import MemoryStore
from tests.engine.rig import body_of, exchange_of
from tests.loops import Run
from tests.servers.tls import Authority

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BlockingServer:
    """Echoes targets from threads; after `/…/kept` waits for `go` and sends *unasked* (b"": ends).

    So it can speak while the client's event loop stands still.
    """

    def __init__(self, unasked: bytes, tls: ssl.SSLContext | None) -> None:
        self._unasked = unasked
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.go = threading.Semaphore(0)
        self.connections = 0
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(plain,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            peer = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            self._peers.append(peer)
            with peer, peer.makefile("rb") as lines:
                for line in lines:
                    if line.startswith(b"GET "):
                        target = line.split()[1]
                    elif line == b"\r\n":
                        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target)
                        peer.sendall(head + target)
                        if target.endswith(b"/kept"):
                            self._speak(peer)

    def _speak(self, peer: socket.socket) -> None:
        self.go.acquire()
        if self._unasked:
            peer.sendall(self._unasked)
        else:
            peer.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End, whatever the client has left open."""
        self.go.release(9)
        for each in (self._listening, *self._peers):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def serving(unasked: bytes, tls: ssl.SSLContext | None) -> Iterator[BlockingServer]:
    server = BlockingServer(unasked, tls)
    try:
        yield server
    finally:
        server.close()


def _wait_without_the_loop(handler: Handler) -> None:
    """Return when something lies on the connection that the event loop hasn't seen."""
    assert handler.transport is not None
    ready, _, _ = select.select([handler.transport.get_extra_info("socket").fileno()], [], [], 20)
    assert ready


@pytest.mark.parametrize(
    "unasked",
    [POISON, LATE_408, POISON[:9], b"\r\n", b""],
    ids=["answer", "408", "half", "line-end", "end"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("way", "leaving"),
    [("direct", False), ("direct", True), ("session", False)],
    ids=["direct", "direct-leaving", "session"],
)
def test_bytes_that_lie_unread_on_a_kept_connection_answer_nobody(
    run: Run, way: str, tls: bool, unasked: bytes, leaving: bool, authority: Authority
) -> None:
    """Neither while it is idle nor, with *leaving*, when a request is made but has not left."""
    client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.ca.configure_trust(client_tls)

    async def work(server: BlockingServer) -> None:
        connector = FetchConnector(idle_limit=9, ssl=client_tls)
        exchange = exchange_of(way, connector)
        engine = Engine(exchange, connector, Timeouts(), BodyPolicy(), MemoryStore())

        async def get(path: str) -> bytes:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}{path}"
            result = await engine.attempt(Plan(parse_url(url), ()), None)
            await asyncio.sleep(0)  # at the end of the turn its connection is given back
            assert isinstance(result, Response), result
            return body_of(result)

        try:
            for n in range(2):
                assert await get(f"/{n}/kept") == f"/{n}/kept".encode()
                assert len(connector.idle) == 1
                (handler,) = connector.idle
                following = asyncio.create_task(get(f"/{n}/next"))
                if leaving:
                    await asyncio.sleep(0)
                    assert not connector.idle, "the request is made"
                server.go.release()
                _wait_without_the_loop(handler)
                assert await following == f"/{n}/next".encode()
        finally:
            await engine.close()
        assert connector.opened == server.connections == 3

    with serving(unasked, authority.contexts["good"] if tls else None) as server:
        run(work(server))
