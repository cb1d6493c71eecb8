"""However an answer is cut or broken: one outcome, and the same as the reference has."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http.direct.protocol import ClientProtocol, receive_buffer
from fetchpool.http.direct.sending import Departures
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.framing import MAX_HEAD_BYTES, MAX_HEADERS, MAX_INTERIM, MAX_LINE_BYTES
from fetchpool.http.receiver import BodyAction, BodyPolicy, Receiver
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import FailedAttempt, Plan, Response
from fetchpool.model.decoding import BodyError
from fetchpool.model.urls import parse_url
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import Handler
from fetchpool.output.sinks.memory import MemoryStore
from tests.engine.rig import Visit, rig

PLAN = Plan(parse_url("http://h.example/"), ())
POLICY = BodyPolicy(max_bytes=100_000, keep_errors=True)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

PACKED = gzip.compress(b"hello, body", mtime=0)

ANSWERS = [
    OK + b"Content-Length: 8\r\nServer: x\r\n\r\nabcdefgh",
    OK + b"\r\nuntil the end",
    CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc",
    b"HTTP/1.0 404 No\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 302 To\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nmoved",
    OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(PACKED), PACKED),
    b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    OK + b"X Y : 3\r\nTransfer-Encoding: identity\r\n\r\nabc",
]  # fmt: skip
PIECES = [
    b"\r\n", b"\n", b"\r", b"0", b"8", b" ", b"\t", b":", b";", b",", b"\0", b"\xff", b"-",
    b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 100 C\r\n\r\n",
    b"Connection: close\r\n", OK, b"0\r\n\r\n", b"1",
]  # fmt: skip


@st.composite
def broken_answers(draw: st.DrawFn) -> bytes:
    """An answer with a few bytes lost, doubled, replaced or put in; or several in a row."""
    data = b"".join(draw(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        middle = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3), st.just(b"")))
        data = data[:start] + middle + data[end:]
    return data


# --- any split


class Wire(asyncio.Transport):
    """A transport to nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: object) -> None: ...

    def abort(self) -> None: ...

    def is_closing(self) -> bool:
        return False


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def read(loop: asyncio.AbstractEventLoop, parts: list[bytes], *, ended: bool = True) -> object:
    """Return what becomes of an answer that arrives in *parts*; None: more is waited for."""
    handler = Handler(loop)
    handler.connection_made(Wire())
    protocol = ClientProtocol(handler, loop, Departures(loop))
    receiver = Receiver(PLAN, POLICY, MemoryStore())
    done = protocol.send(b"", Watch(Timeouts(), None, 0.0, None), receiver)
    protocol.leave(0.0)
    for part in parts:
        receive_buffer()[: len(part)] = part
        protocol.buffer_updated(len(part))
        receive_buffer()[: len(part)] = bytes(len(part))  # it belongs to others now
    if ended:
        protocol.connection_lost(None)
    if not done.done():
        return None
    try:
        done.result()
        if receiver.action is not BodyAction.CLOSE:
            receiver.finish()
    except (ExchangeError, BodyError) as error:
        return (receiver.answer, error.failure)
    return (receiver.answer, receiver.stored)


def test_more_behind_an_answer_that_came_before_its_request_is_nobodys(
    loop: asyncio.AbstractEventLoop,
) -> None:
    handler = Handler(loop)
    handler.connection_made(Wire())
    handler.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    protocol = ClientProtocol(handler, loop, Departures(loop))
    receiver = Receiver(PLAN, POLICY, MemoryStore())
    done = protocol.send(b"", Watch(Timeouts(), None, 0.0, None), receiver)
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    receive_buffer()[: len(more)] = more
    protocol.buffer_updated(len(more))
    assert done.result() is True
    receiver.finish()
    assert receiver.body_bytes == 2
    assert not protocol.reusable


@given(broken_answers(), st.data(), st.booleans())
@settings(max_examples=400)
def test_any_split_of_an_answer_has_the_same_outcome(
    loop: asyncio.AbstractEventLoop, data: bytes, draw: st.DataObject, ended: bool
) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(1, max(1, len(data))), max_size=8)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if data[a:b]]
    as_one = read(loop, [data] if data else [], ended=ended)
    assert read(loop, parts, ended=ended) == as_one
    assert read(loop, [data[n : n + 1] for n in range(len(data))], ended=ended) == as_one


def test_request_that_cannot_leave_keeps_no_other_from_leaving() -> None:
    class Torn(Wire):
        def write(self, data: object) -> None:
            raise RuntimeError("torn")

    class Noting(Wire):
        def write(self, data: object) -> None:
            written.append(data)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        departures = Departures(loop)
        answers = []
        for wire in (Torn(), Noting()):
            handler = Handler(loop)
            handler.connection_made(wire)
            watch = Watch(Timeouts(), None, 0.0, None)
            receiver = Receiver(PLAN, POLICY, MemoryStore())
            answers.append(ClientProtocol(handler, loop, departures).send(b"GET", watch, receiver))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert str(answers[0].exception()) == "torn"

    written: list[object] = []
    asyncio.run(work())
    assert written == [b"GET"]


def test_two_faults_in_a_head_are_told_alike_however_it_is_cut(
    loop: asyncio.AbstractEventLoop,
) -> None:
    data = b"HTTP/1.0 404 No\r\nA:\0b\r\nC\r\n\r\n"
    as_one = read(loop, [data], ended=False)
    assert as_one is not None
    for cut in range(1, len(data)):
        assert read(loop, [data[:cut], data[cut:]], ended=False) == as_one


def kind_of(loop: asyncio.AbstractEventLoop, data: bytes) -> object:
    """Return the failure's kind, or the status, of *data*: the same whole, in halves, in 4 KB."""
    kinds = set()
    for size in (1 << 20, len(data) // 2 + 1, 4096):
        outcome: Any = read(loop, [data[n : n + size] for n in range(0, len(data), size)])
        assert outcome is not None
        kinds.add(getattr(outcome[1], "kind", None) or outcome[0].status)
    assert len(kinds) == 1, kinds
    return kinds.pop()


_END = b"Content-Length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (OK + b"X: " + b"a" * (MAX_LINE_BYTES - 10) + b"\r\n" + _END, 200),
        (OK + b"X: " + b"a" * MAX_LINE_BYTES + b"\r\n" + _END, FailureKind.PROTOCOL),
        (OK + (b"X: " + b"a" * 60_000 + b"\r\n") * 4 + _END, 200),
        (OK + (b"X: " + b"a" * 60_000 + b"\r\n") * 6 + _END, FailureKind.PROTOCOL),
        (OK + b"X" * (MAX_LINE_BYTES - 1), FailureKind.CONNECT),
        (OK + b"X" * (MAX_HEAD_BYTES + 9), FailureKind.PROTOCOL),
        (b"\r\n" * MAX_HEAD_BYTES, FailureKind.PROTOCOL),
        (OK + b"X: 1\r\n" * (MAX_HEADERS - 1) + _END, 200),
        (OK + b"X: 1\r\n" * MAX_HEADERS + _END, FailureKind.PROTOCOL),
        (b"HTTP/1.1 100 C\r\n\r\n" * MAX_INTERIM + OK + _END, 200),
        (b"HTTP/1.1 100 C\r\n\r\n" * (MAX_INTERIM + 1) + OK + _END, FailureKind.PROTOCOL),
        (b"HTTP/1.1 101 Up\r\n\r\n" + OK + _END, FailureKind.PROTOCOL),
        (b"RTSP/1.0 200 OK\r\n" + _END, FailureKind.PROTOCOL),
        (b"\r\nRTSP/1.0 200 OK\r\n" + _END, FailureKind.PROTOCOL),
        (b"HTTP/2.0 200 OK\r\n" + _END, FailureKind.PROTOCOL),
        (OK + b"X: a\0b\r\n" + _END, FailureKind.PROTOCOL),
        (OK + b"X: \x1b[2J\xff\r\n" + _END, 200),
        (OK + b"Transfer-Encoding: chunked \t\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200),
        (CHUNKED + b"1;" + b"x" * 60_000 + b"\r\na\r\n0\r\n\r\n", 200),
        (CHUNKED + b"1;" + b"x" * (1 << 17) + b"\r\na\r\n", FailureKind.PROTOCOL),
        (CHUNKED + b"0\r\n" + b"X: 1\r\n" * 12_000 + b"\r\n", FailureKind.PROTOCOL),
        (CHUNKED + b"0\r\nX: " + b"1" * 70_000, FailureKind.PROTOCOL),
        (CHUNKED + b"1\r\na\r\n" * 90_000 + b"0\r\n\r\n", 200),
        (CHUNKED + b"1\r\na\r\n" * 100_001 + b"0\r\n\r\n", FailureKind.TOO_BIG),
    ],
)  # fmt: skip
def test_sizes_are_bounded_however_they_arrive(
    loop: asyncio.AbstractEventLoop, data: bytes, kind: FailureKind | int
) -> None:
    assert kind_of(loop, data) == kind


# --- the same as the reference


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


class Pair:
    """Both ways of exchanging, each before a server that answers with `data` and closes."""

    def __init__(self) -> None:
        self.data = b""

    async def behave(self, visit: Visit) -> None:
        """Answer one request and close."""
        await visit.request()
        await visit.send(self.data)

    async def outcomes(self, data: bytes) -> list[object]:
        """Return what the reference and the direct exchange make of *data*."""
        self.data = data
        async with (
            rig(self.behave, way="session", policy=POLICY) as reference,
            rig(self.behave, way="direct", policy=POLICY) as direct,
        ):
            return [self._outcome(await each.get()) for each in (reference, direct)]

    @staticmethod
    def _outcome(result: Response | FailedAttempt) -> object:
        if isinstance(result, Response):
            return (result.head, result.stored)
        return (result.failure, result.transient, result.head, result.measures.wire_bytes)


@given(broken_answers())
@settings(max_examples=250)
def test_outcome_is_the_reference_exchanges(runner: asyncio.Runner, data: bytes) -> None:
    reference, direct = runner.run(Pair().outcomes(data))
    assert direct == reference
