"""A normal head is read as any other would be, line by line, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http.direct import heads
from fetchpool.http.direct.heads import read_normal
from fetchpool.http.direct.protocol import ClientProtocol, receive_buffer
from fetchpool.http.direct.sending import Departures
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.receiver import BodyPolicy, Receiver
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import Plan
from fetchpool.model.decoding import BodyError
from fetchpool.model.urls import parse_url
from fetchpool.network.connector import Handler
from fetchpool.output.sinks.memory import MemoryStore
from tests.engine.test_direct_laws import Wire

OK = b"HTTP/1.1 200 OK\r\n"
NAMES = [
    b"Content-Length", b"content-length", b"Connection", b"Transfer-Encoding", b"Upgrade",
    b"Proxy-Connection", b"Content-Type", b"ETag", b"Location", b"Set-Cookie", b"X_y", b"Server ",
    b"Content-Length ", b"X Y", b"", b" X",
]  # fmt: skip
VALUES = [
    b"4", b"0", b"04", b"+4", b"4, 4", b"9223372036854775808", b"close", b"Keep-Alive", b"CLOSE",
    b"keep-alive, x", b"upgrade", b"chunked", b"identity", b"text/plain", b"", b'"a:b"', b"\xe9",
    b"a\tb",
]  # fmt: skip
LINES = st.builds(
    b"".join,
    st.tuples(
        st.sampled_from(NAMES),
        st.just(b":"),
        st.sampled_from([b" ", b"", b"  ", b"\t"]),
        st.sampled_from(VALUES),
        st.sampled_from([b"\r\n"] * 8 + [b" \r\n", b"\t\r\n", b"\n", b"\r\n ", b"\r\r\n"]),
    ),
)
STATUS_LINES = [
    OK, b"HTTP/1.1 200 \r\n", b"HTTP/1.1 200\r\n", b"HTTP/1.1 304 No\r\n", b"HTTP/1.1 100 Go\r\n",
    b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 999 ?\r\n", b"HTTP/1.1  200 OK\r\n", b"HTTP/1.1 302 To\r\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def read(loop: asyncio.AbstractEventLoop, parts: list[bytes]) -> object:
    """Return what becomes of an answer that arrives in *parts*; whether its connection stays."""
    handler = Handler(loop)
    handler.connection_made(Wire())
    protocol = ClientProtocol(handler, loop, Departures(loop))
    receiver = Receiver(Plan(parse_url("http://h.example/"), ()), BodyPolicy(), MemoryStore())
    done = protocol.send(b"", Watch(Timeouts(), None, 0.0, None), receiver)
    protocol.leave(0.0)
    for part in parts:
        receive_buffer()[: len(part)] = part
        protocol.buffer_updated(len(part))
    if not done.done():
        return None
    try:
        done.result()
    except (ExchangeError, BodyError) as error:
        return (receiver.answer, error.failure)
    return (receiver.answer, receiver.wire_bytes, protocol.reusable)


@given(st.sampled_from(STATUS_LINES), st.lists(LINES, max_size=5), st.binary(max_size=6))
@settings(max_examples=500)
def test_head_is_read_as_line_by_line(
    loop: asyncio.AbstractEventLoop, status_line: bytes, lines: list[bytes], body: bytes
) -> None:
    data = status_line + b"".join(lines) + b"\r\n" + body
    assert read(loop, [data]) == read(loop, [data[:1], data[1:]])


def test_usual_head_is_normal() -> None:
    data = OK + b"Server: nginx\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nbody"
    found = read_normal(memoryview(data))
    assert found is not None
    head, length, size, keep_alive = found
    assert head.status == 200
    assert head.headers == (
        ("server", "nginx"),
        ("content-length", "4"),
        ("connection", "keep-alive"),
    )
    assert (data[size:], length, keep_alive) == (b"body", 4, True)


def test_chunks_are_normal_and_so_is_a_field_said_twice() -> None:
    data = OK + b"Set-Cookie: a\r\nSet-Cookie: b\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\n"
    found = read_normal(memoryview(data))
    assert found is not None
    head, length, size, keep_alive = found
    assert head.get_all("set-cookie") == ["a", "b"]
    assert (data[size:], length, keep_alive) == (b"4\r\n", None, True)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 4\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 4\r\nConnection: upgrade\r\n",
        b"Content-Length: 4\r\nConnection: close\r\nConnection: keep-alive\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Content-Length: 4\r\nLocation: /a\r\nLocation: /b\r\n",
        b"Content-Length : 4\r\n",
        b"Content-Length: 4\r\nX Y: 1\r\n",
        b"Content-Length: 4\r\nX:\r\r\n",
        b"Content-Length: 4x\r\n",
        b"Content-Length: 4\r\nX: a\x00b\r\n",
        b"Content-Length: 4\r\n X: folded\r\n",
        b"Content-Length: 4\nX: y\r\n",
        b"X: no length\r\n",
        b"Content-Length: 4\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100)),
        b"Content-Length: 4\r\nX: " + b"y" * 9000 + b"\r\n",
    ],
)
def test_anything_else_is_read_line_by_line(lines: bytes) -> None:
    assert read_normal(memoryview(OK + lines + b"\r\nbody")) is None


def test_lines_remembered_are_few_and_short() -> None:
    for number in range(3 * heads._MAX_LINES):
        read_normal(memoryview(OK + b"Content-Length: 4\r\nX-%d: 1\r\n\r\n" % number))
    read_normal(memoryview(OK + b"Content-Length: 4\r\nX: " + b"long" * 1000 + b"\r\n\r\n"))
    remembered = heads._lines
    assert len(remembered) <= heads._MAX_LINES
    assert max(map(len, remembered)) <= heads._MAX_LINE
