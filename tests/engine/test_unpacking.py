"""Big coded bodies are decoded in steps: the loop has its turns, and nothing else is different.

The threads are a `Gate` here, which does a step when the test says so.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import brotli  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http import unpacking
from fetchpool.http.direct.protocol import ClientProtocol, receive_buffer
from fetchpool.http.direct.sending import Departures
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.receiver import BodyAction, BodyPolicy, Receiver
from fetchpool.http.unpacking import MUCH_BYTES, STEP_PIECES, Unpacking
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import FailedAttempt
from fetchpool.model.decoding import PIECE_BYTES, BodyError, make_decoder
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import Handler
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.output.sinks.memory import MemoryStore
from tests.engine.rig import Behaviour, Rig, Visit, body_of, rig
from tests.engine.test_direct_laws import PLAN, POLICY, Wire, broken_answers, read
from tests.loops import Run
from tests.servers.tls import Authority
from tests.stores.bodies import files_in

P = ParamSpec("P")
T = TypeVar("T")
OK = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"

BODY = random.Random(3).randbytes(600_000)
PACKED = gzip.compress(BODY, 1, mtime=0)
BOMB = gzip.compress(bytes(200 << 20), 9, mtime=0)


@pytest.fixture
def everything_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MUCH_BYTES", 1)


@pytest.fixture
def run(run: Run, everything_is_much: None) -> Run:
    return run


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Gate(Executor):
    """Threads that begin a step at once, and end it when they are told to."""

    def __init__(self) -> None:
        self._begun: list[tuple[Future[Any], Callable[[], Any]]] = []
        self._came = asyncio.Event()
        self.steps = 0
        """Done so far."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # so it can't be called off any more
        self._begun.append((future, lambda: fn(*args, **kwargs)))
        self._came.set()
        return future

    async def step(self) -> None:
        """Return when a step has begun."""
        await self._came.wait()

    def open(self) -> None:
        """End the step that has begun."""
        future, work = self._begun.pop()
        assert not self._begun
        self._came.clear()
        self.steps += 1
        try:
            future.set_result(work())
        except BodyError as error:
            future.set_exception(error)

    async def stay_open(self) -> None:
        """End each step that begins, for ever."""
        while True:
            await self.step()
            self.open()


async def result_of(task: asyncio.Task[T], gate: Gate) -> T:
    """Return what comes of *task* with all its steps done."""
    opening = asyncio.create_task(gate.stay_open())
    try:
        return await task
    finally:
        opening.cancel()


def gated(it: Rig) -> Gate:
    """Let *it* decode through a gate."""
    gate = Gate()
    it.engine._threads = gate  # type: ignore[assignment]
    return gate


# --- bounds


class Counting:
    """Where pieces are kept, with what the loop did meanwhile."""

    def __init__(self) -> None:
        self.at_once: list[int] = [0]
        """Pieces kept in each turn of the loop."""
        self.kept = 0
        self.threads: set[int] = set()

    def keep(self, piece: bytes) -> None:
        self.at_once[-1] += 1
        self.kept += len(piece)
        self.threads.add(threading.get_ident())

    async def turns(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.at_once.append(0)


class Nobody(Executor):
    """Threads that must not be asked."""

    def submit(self, fn: object, /, *args: object, **kwargs: object) -> Future[Any]:
        raise AssertionError


def test_a_small_chunk_is_decoded_at_once_and_by_no_thread() -> None:
    counting = Counting()
    it = Unpacking(make_decoder("gzip", 0), Nobody())
    wire = gzip.compress(BODY[:100_000])
    for start in range(0, len(wire), 1000):
        it.feed(wire[start : start + 1000], counting.keep)
        assert not it.behind
    it.finish(counting.keep)
    assert counting.kept == 100_000


@pytest.mark.parametrize("label", ["gzip", "deflate", "br", "gzip, br", "gzip, gzip"])
@pytest.mark.parametrize("size", [10_000, 1 << 20], ids=["small reads", "big reads"])
async def test_a_bomb_leaves_the_loop_its_turns(label: str, size: int) -> None:
    encode: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": partial(brotli.compress, quality=5),
    }
    wire = bytes(24 << 20)
    for coding in label.split(", "):
        wire = encode[coding](wire)
    counting = Counting()
    with ThreadPoolExecutor(1) as threads:
        it = Unpacking(make_decoder(label, 0), threads)
        ticking = asyncio.create_task(counting.turns())
        await asyncio.sleep(0)
        for start in range(0, len(wire), size):
            before = sum(counting.at_once)
            it.feed(wire[start : start + size], counting.keep)
            assert sum(counting.at_once) - before <= STEP_PIECES
            if it.behind:
                await it.catch_up(counting.keep)
        it.finish(counting.keep)
        ticking.cancel()
    assert counting.kept == 24 << 20
    assert max(counting.at_once) <= 2 * STEP_PIECES
    assert counting.threads == {threading.get_ident()}


async def test_what_decodes_to_nothing_leaves_the_loop_its_turns_too() -> None:
    nothing = b"\x50\x2a\x4d\x18" + (64 << 20).to_bytes(4, "little") + bytes(64 << 20)
    gate, counting = Gate(), Counting()
    it = Unpacking(make_decoder("zstd, gzip", 0), gate)
    it.feed(gzip.compress(nothing), counting.keep)
    await result_of(asyncio.create_task(it.catch_up(counting.keep)), gate)
    it.finish(counting.keep)
    assert gate.steps >= (64 << 20) // (STEP_PIECES * PIECE_BYTES) // 2
    assert counting.kept == 0


@pytest.mark.parametrize("size", [10_000, 1 << 20])
async def test_the_cap_holds_within_a_step(size: int) -> None:
    gate, counting = Gate(), Counting()
    it = Unpacking(make_decoder("gzip", 5_000_000), gate)
    it.feed(BOMB[:size], counting.keep)
    with pytest.raises(BodyError) as caught:
        await result_of(asyncio.create_task(it.catch_up(counting.keep)), gate)
    assert caught.value.failure.kind is FailureKind.TOO_BIG
    assert counting.kept <= 5_000_000


async def test_a_step_of_a_body_that_is_over_comes_to_nothing() -> None:
    gate, counting = Gate(), Counting()
    it = Unpacking(make_decoder("gzip", 0), gate)
    it.feed(PACKED, counting.keep)
    task = asyncio.create_task(it.catch_up(counting.keep))
    await gate.step()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await asyncio.sleep(0)
    assert counting.kept == 0


async def test_steps_are_done_by_the_engines_own_threads_which_end_with_it() -> None:
    def own() -> list[str]:
        names = (thread.name for thread in threading.enumerate())
        return [name for name in names if "unpacking" in name]

    async with rig(sends(whole(PACKED)), policy=BodyPolicy(sha256=True)) as it:
        assert body_of(await it.get()) == BODY
        assert own() == ["fetchpool-unpacking_0"]
    assert own() == []


# --- over the wire


def whole(packed: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(packed), packed)


def chunked(packed: bytes, size: int) -> bytes:
    chunks = (packed[at : at + size] for at in range(0, len(packed), size))
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def sends(data: bytes, *, close: bool = False) -> Behaviour:
    """Answer each request with *data*, one for `/small` with a small body; then perhaps *close*."""

    async def behave(visit: Visit) -> None:
        while True:
            head = await visit.request()
            if head.startswith("GET /small "):
                await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall")
                continue
            await visit.send(data)
            if close:
                return

    return behave


ANSWERS = {
    "length": (whole(PACKED), False),
    "length-close": (whole(PACKED), True),
    "chunked": (chunked(PACKED, 300_000), False),
    "tiny-chunks": (chunked(PACKED, 700), False),
    "chunked-close": (chunked(PACKED, 300_000), True),
    "close": (OK + b"\r\n" + PACKED, True),
}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_bodies_that_are_decoded_in_steps_come_whole(run: Run, way: str, name: str) -> None:
    data, close = ANSWERS[name]

    async def work() -> None:
        async with rig(sends(data, close=close), way=way) as it:
            gate = gated(it)
            for reused in (False, not close):
                result = await result_of(asyncio.create_task(it.get()), gate)
                assert body_of(result) == BODY
                assert result.measures.wire_bytes == len(PACKED)
                assert result.measures.reused is reused
            assert gate.steps

    run(work())


def test_bodies_that_are_decoded_in_steps_come_whole_over_tls(run: Run, way: str) -> None:
    authority = Authority()
    client_tls = ssl.create_default_context()
    authority.ca.configure_trust(client_tls)
    server_tls = authority.contexts["good"]

    async def work() -> None:
        for data, close in ANSWERS.values():
            behaviour = sends(data, close=close)
            async with rig(behaviour, way=way, server_tls=server_tls, client_tls=client_tls) as it:
                gate = gated(it)
                for _ in range(2):
                    result = await result_of(asyncio.create_task(it.get()), gate)
                    assert body_of(result) == BODY
                assert gate.steps
                assert it.site.connections == (2 if close else 1)

    run(work())


BROKEN = {
    "cut": (whole(PACKED)[:-1], FailureKind.TRUNCATED),
    "cut-coding": (whole(PACKED[:-1]), FailureKind.TRUNCATED),
    "cut-chunks": (chunked(PACKED, 200_000)[:-1], FailureKind.TRUNCATED),
    "no-chunk": (chunked(PACKED, 200_000)[:-5] + b"x\r\n", FailureKind.PROTOCOL),
    "cut-at-close": (OK + b"\r\n" + PACKED[:-1], FailureKind.TRUNCATED),
    "corrupt": (whole(PACKED[:-8] + bytes(8)), FailureKind.DECODE),
    "corrupt-and-cut": (whole(PACKED[:-8] + bytes(8) + b"x")[:-1], FailureKind.DECODE),
    "junk": (whole(PACKED + b"junk"), FailureKind.DECODE),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_bodies_that_are_none_end_as_ever(run: Run, way: str, name: str, tmp_path: Path) -> None:
    data, kind = BROKEN[name]

    async def work() -> None:
        async with rig(sends(data, close=True), way=way) as it:
            gate = gated(it)
            it.engine._store = store = directory(tmp_path)
            result = await result_of(asyncio.create_task(it.get()), gate)
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is kind
            assert gate.steps
            store.close()
        assert files_in(tmp_path) == {}

    run(work())


def directory(path: Path) -> DirectoryStore:
    return DirectoryStore(path, is_foreign=lambda name: False)


def test_a_bomb_delays_nobody_and_is_stopped(run: Run, way: str) -> None:
    async def work() -> None:
        policy = BodyPolicy(max_bytes=100 << 20)
        async with rig(sends(whole(BOMB)), way=way, policy=policy) as it:
            gate = gated(it)
            bomb = asyncio.create_task(it.get("/bomb"))
            others = 0
            while not bomb.done():
                stepping = asyncio.create_task(gate.step())
                await asyncio.wait({bomb, stepping}, return_when=asyncio.FIRST_COMPLETED)
                if stepping.done():
                    assert body_of(await it.get("/small")) == b"small"
                    others += 1
                    gate.open()
                stepping.cancel()
            result = await bomb
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.TOO_BIG
            assert others == gate.steps >= (100 << 20) // (STEP_PIECES * PIECE_BYTES) // 2

    run(work())


def test_nothing_is_read_while_a_step_is_out(run: Run, way: str) -> None:
    async def work() -> None:
        endless = OK + b"Content-Length: 999999999\r\n\r\n" + PACKED + bytes(64 << 20)
        async with rig(sends(endless), way=way) as it:
            gate = gated(it)
            task = asyncio.create_task(it.get())
            await gate.step()
            (handler,) = it.connector._acquired
            (watch,) = it.engine._watches
            assert handler.transport is not None
            assert not handler.transport.is_reading()
            seen = watch.bytes_seen
            for _ in range(3):
                await it.get("/small")
            assert watch.bytes_seen == seen
            assert watch.overdue(1e12) is None  # no silence of the server's
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(work())


@pytest.mark.parametrize("ending", ["cancel", "budget"])
def test_an_attempt_that_ends_during_a_step_leaves_nothing(
    run: Run, way: str, ending: str, tmp_path: Path
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK + b"Content-Length: 999999999\r\n\r\n" + PACKED * 3)
        await visit.gone()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            gate = gated(it)
            it.engine._store = store = directory(tmp_path)
            task = asyncio.create_task(it.engine.attempt(it.plan(), None))
            await gate.step()
            gate.open()
            await gate.step()  # so part of the body is kept already
            if ending == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                (watch,) = it.engine._watches
                watch._budget_end = 0.0
                result = await task
                assert isinstance(result, FailedAttempt)
                assert result.failure.kind is FailureKind.TIMEOUT
            gate.open()
            await it.site.closed.wait()
            assert not it.connector._acquired
            assert not it.connector.idle
            store.close()
        assert files_in(tmp_path) == {}

    run(work())


def test_what_follows_during_a_step_is_nobodys_answer(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        if visit.number == 1:
            await visit.send(whole(PACKED) + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        else:
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        await visit.gone()

    async def work() -> None:
        async with rig(behave, way=way) as it:
            gate = gated(it)
            assert body_of(await result_of(asyncio.create_task(it.get()), gate)) == BODY
            assert body_of(await it.get()) == b"good"
            assert it.site.connections == 2

    run(work())


# --- what comes during a step, in any order


class Valve(Wire):
    """A transport that knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def _read_in_steps(parts: list[bytes], opens: list[bool]) -> object:
    """Return what becomes of an answer in *parts*; before each a step ends, or doesn't."""
    loop = asyncio.get_running_loop()
    handler = Handler(loop)
    valve = Valve()
    handler.connection_made(valve)
    protocol = ClientProtocol(handler, loop, Departures(loop))
    gate = Gate()
    receiver = Receiver(PLAN, POLICY, MemoryStore(), None, gate)

    async def exchange() -> None:
        answer = protocol.send(b"", Watch(Timeouts(), None, 0.0, None), receiver)
        while not await answer:
            assert not valve.reading
            answer = await protocol.catch_up()
        if receiver.action is not BodyAction.CLOSE:
            receiver.finish()

    async def turns() -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    task = asyncio.create_task(exchange())
    for part, opening in zip(parts, opens, strict=True):
        await turns()
        if opening and gate._begun:
            gate.open()
            await turns()
        receive_buffer()[: len(part)] = part
        protocol.buffer_updated(len(part))
        receive_buffer()[: len(part)] = bytes(len(part))
    await turns()
    protocol.connection_lost(None)
    try:
        await result_of(task, gate)
    except (ExchangeError, BodyError) as error:
        return (receiver.answer, error.failure)
    return (receiver.answer, receiver.stored)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@st.composite
def coded_answers(draw: st.DrawFn) -> bytes:
    """A gzip answer, framed in one of three ways, with a few bytes of it changed; or any other."""
    packed = draw(st.sampled_from([gzip.compress(text, mtime=0) for text in (b"", b"body " * 99)]))
    packed += draw(st.sampled_from([b"", b"junk", packed]))
    data = draw(st.sampled_from([whole(packed), chunked(packed, 7), OK + b"\r\n" + packed]))
    data += draw(st.sampled_from([b"", b"", b"HTTP/1.1 200 OK\r\n"]))
    start = draw(st.integers(0, len(data)))
    return draw(
        st.one_of(
            st.just(data),
            st.just(data[:start]),
            st.just(data[:start] + b"x" + data[start + 1 :]),
            broken_answers(),
        )
    )


@pytest.mark.usefixtures("everything_is_much")
@given(coded_answers(), st.data())
@settings(max_examples=400)
def test_whatever_comes_during_a_step_has_the_outcome_it_has_without(
    runner: asyncio.Runner, data: bytes, draw: st.DataObject
) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(1, max(1, len(data))), max_size=8)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if data[a:b]]
    opens = draw.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpacking, "MUCH_BYTES", MUCH_BYTES)
        inline = read(runner.get_loop(), [data] if data else [])
    assert runner.run(_read_in_steps(parts, opens)) == inline
