"""What is asked for leaves as it was said: method, fields, body; and its answer is read for it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from time import monotonic
from typing import Any, cast

import pytest

from fetchpool.http.direct.sending import Sender
from fetchpool.http.framing import body_length
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.asking import METHODS
from fetchpool.model.attempts import FailedAttempt, Plan, Response
from fetchpool.model.values import FailureKind, Head
from tests.engine.rig import HEADERS, Rig, Visit, body_of, rig
from tests.loops import Run
from tests.servers.tls import Authority

BIG = bytes(range(256)) * 40_000
"""More than the buffers of both ends hold."""


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call_of(it: Rig, method: str, body: bytes | None = None, **more: Any) -> Plan:
    return Plan(it.plan("/x").target, HEADERS, method=method, body=body, **more)


async def ask(
    it: Rig, method: str, body: bytes | None = None, *, once: bool = False
) -> Response | FailedAttempt:
    return await it.engine.attempt(call_of(it, method, body, once=once), None)


def length_in(head: str) -> int | None:
    found = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    assert len(found) <= 1
    return int(found[0].partition(":")[2]) if found else None


async def echo(visit: Visit) -> None:
    """Answer each request with its body."""
    while True:
        head = await visit.request()
        body = await visit.reader.readexactly(length_in(head) or 0)
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(
    "body", [None, b"", b"\0\r\n\r\nx=%C3 \xff", BIG], ids=["none", "empty", "odd", "big"]
)
@pytest.mark.parametrize("method", [each for each in METHODS if each != "HEAD"])
def test_method_and_body_leave_byte_for_byte(
    run: Run, way: str, method: str, body: bytes | None
) -> None:
    async def work() -> None:
        async with rig(echo, way=way) as it:
            for _ in range(2):  # the second over the same connection
                assert body_of(await ask(it, method, body)) == (body or b"")
        (one, head), (other, again) = it.site.requests
        assert head.startswith(f"{method} /x HTTP/1.1\r\n")
        assert head == again
        assert one == other
        sends = method in ("POST", "PUT", "PATCH", "DELETE")
        assert length_in(head) == (len(body) if body is not None else 0 if sends else None)
        assert "content-type" not in head.lower()
        assert "transfer-encoding" not in head.lower()

    run(work())


@pytest.mark.parametrize("tls", [False, True])
def test_small_body_leaves_with_its_head(
    run: Run, way: str, authority: Authority, tls: bool
) -> None:
    read: list[bytes] = []

    async def behave(visit: Visit) -> None:
        read.append(await visit.reader.read(65536))
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def work() -> None:
        contexts: dict[str, ssl.SSLContext] = {}
        if tls:
            trust = ssl.create_default_context()
            authority.ca.configure_trust(trust)
            contexts = {"server_tls": authority.fresh(), "client_tls": trust}
        async with rig(behave, way=way, **cast("Any", contexts)) as it:
            assert isinstance(await ask(it, "POST", b"a=1"), Response)

    run(work())
    assert read[0].endswith(b"\r\n\r\na=1")


SAID = [
    b"Content-Length: 12345\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"",
    b"Content-Encoding: gzip\r\nContent-Length: 9999999999\r\n",
]


@pytest.mark.parametrize("fields", SAID)
@pytest.mark.parametrize("status", [200, 404, 500])
def test_answer_to_head_ends_with_its_head_whatever_it_says(
    run: Run, way: str, fields: bytes, status: int
) -> None:
    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, fields))

    async def work() -> None:
        async with rig(behave, way=way) as it:
            for _ in range(2):
                answer = await ask(it, "HEAD")
                assert isinstance(answer, Response), answer
                assert (answer.head.status, answer.stored, answer.body_bytes) == (status, None, 0)
            assert it.site.connections == 1

    run(work())


def test_body_of_an_answer_to_head_is_no_other_answers(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/")
        await visit.gone()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            assert isinstance(await ask(it, "HEAD"), Response)
            await it.site.closed.wait()

    run(work())


def test_head_framed_in_two_ways_is_refused_for_head_too(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        )

    async def work() -> None:
        async with rig(behave, way=way) as it:
            miss = await ask(it, "HEAD")
            assert isinstance(miss, FailedAttempt)
            assert miss.failure.kind is FailureKind.PROTOCOL

    run(work())


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("GET", 200, 7), ("HEAD", 200, 0), ("CONNECT", 200, 0), ("CONNECT", 502, 7), ("GET", 304, 0)],
)
def test_length_follows_from_method_and_status(method: str, status: int, length: int) -> None:
    assert body_length(Head(status, (("content-length", "7"),)), method) == length


@pytest.mark.parametrize("closes", [False, True])
def test_answer_that_comes_before_the_body_is_sent_counts(run: Run, way: str, closes: bool) -> None:
    done = asyncio.Event()

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        if not closes:
            await done.wait()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            for number in (1, 2):
                answer = await ask(it, "POST", BIG)
                assert isinstance(answer, Response), answer
                assert answer.head.status == 413
                assert it.site.connections == number  # nothing may follow half a request
            done.set()

    run(work())


class SlowTransport:
    """Takes so many pieces, then wants no more until it is said to have room."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.sender: Sender

    def write(self, data: bytes | memoryview) -> None:
        self.taken.append(bytes(data))
        if len(self.taken) % 2 == 0:
            self.sender.pause()

    def is_closing(self) -> bool:
        return False


def test_body_leaves_as_its_server_reads_on() -> None:
    transport = SlowTransport()
    sender = transport.sender = Sender(cast("asyncio.Transport", transport))
    watch = Watch(Timeouts(silence_s=1.0), None, 0.0, None)
    watch.connected(monotonic() - 100, None, reused=False)
    sender.send(b"head", BIG, watch)
    assert len(transport.taken) == 2
    assert watch.overdue(monotonic()) is not None
    while sender.rest is not None or sender.paused:
        sender.resume()
        assert watch.overdue(monotonic()) is None
    assert b"".join(transport.taken) == b"head" + BIG
    sender.send(b"head", BIG, watch)
    sender.rest = None
    sender.resume()
    assert len(transport.taken) % 2 == 0
    assert not sender.paused


def test_piece_that_left_is_a_sign_of_the_server_until_it_answers() -> None:
    watch = Watch(Timeouts(silence_s=1.0), None, 0.0, None)
    watch.connected(0.0, None, reused=False)
    assert watch.overdue(1.5) is not None
    watch.sent(1.0)
    assert watch.overdue(1.5) is None
    watch.received(1, 1.5)
    watch.sent(2.0)
    assert watch.connected_at == 1.0  # the first byte is that of a head, not earlier than a request


# --- sent once


def test_what_may_not_be_done_twice_has_a_connection_of_its_own(run: Run, way: str) -> None:
    async def work() -> None:
        async with rig(echo, way=way) as it:
            await it.get("/kept")
            for _ in range(2):
                assert body_of(await ask(it, "POST", b"a", once=True)) == b"a"
            await it.get("/kept")
            connections = [number for number, _ in it.site.requests]
            assert connections[1:3] == [2, 3]
            assert all("connection: close" in head.lower() for _, head in it.site.requests[1:3])
            assert connections[3] not in connections[1:3]

    run(work())


@pytest.mark.parametrize("end", [b"", b"rubbish\r\n\r\n"])
def test_server_that_hangs_up_is_sent_it_once(run: Run, way: str, end: bytes) -> None:
    async def behave(visit: Visit) -> None:
        head = await visit.request()
        if head.startswith("GET"):
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await visit.request()
        await visit.send(end)

    async def work() -> None:
        async with rig(behave, way=way) as it:
            await it.get("/kept")
            miss = await ask(it, "POST", b"a", once=True)
            assert isinstance(miss, FailedAttempt)
            assert miss.measures.sent
        assert sum(head.startswith("POST") for _, head in it.site.requests) == 1

    run(work())


def test_nothing_has_left_where_there_is_no_connection(run: Run, way: str) -> None:
    async def work() -> None:
        async with rig(echo, way=way) as it:
            target = it.plan("/").target
        miss = None
        async with rig(echo, way=way) as other:
            plan = Plan(target, HEADERS, method="POST", body=b"a", once=True)
            with suppress(ConnectionError):
                miss = await other.engine.attempt(plan, None)
        assert isinstance(miss, FailedAttempt)
        assert not miss.measures.sent

    run(work())
