"""What a sink that keeps messages is given: the bytes that went over the wire, no more, no less."""

from __future__ import annotations

import asyncio
import gzip
import random
from pathlib import Path

import pytest

from fetchpool.http.receiver import DRAIN_BYTES, BodyPolicy
from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.exchanges import Exchanged
from fetchpool.model.values import FailureKind, Target
from fetchpool.output.sinks.memory import MemoryStore
from fetchpool.output.sinks.recordings import MEMORY_BYTES, Recordings, SpooledRecording
from tests.engine.rig import Behaviour, Visit, body_of, rig
from tests.loops import Run

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
ZIPPED = gzip.compress(b"some words " * 50)
ODD = (
    b"HTTP/1.1 200 \xc3\xa9\r\nServer:nospace\r\nX-Fold: a\r\n  b\r\nX-L: \xe9\n"
    b"Content-Length: 3\r\n\r\n"
)
BIG = random.Random(3).randbytes(3_000_000)


class Keeping(MemoryStore):
    """Returns bodies, and wants messages."""

    keeps_messages = True

    def __init__(self, folder: Path) -> None:
        self.recordings = Recordings(folder)
        self.begun = 0

    def recording(self, target: Target) -> SpooledRecording:
        self.begun += 1
        return self.recordings.begin()


@pytest.fixture
def store(tmp_path: Path) -> Keeping:
    return Keeping(tmp_path)


def received(exchanged: Exchanged | None) -> bytes:
    assert exchanged is not None
    data = b"".join(exchanged.recording.pieces())
    assert len(data) == exchanged.length
    return data


def sends(*pieces: bytes, closes: bool = False) -> Behaviour:
    """Answer each request with *pieces*, each a write of its own."""

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            for piece in pieces:
                await visit.send(piece)
                if len(pieces) > 1:
                    await asyncio.sleep(0.001)
            if closes:
                return

    return behave


WHOLE = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", 5),
    "nothing": (OK + b"Content-Length: 0\r\n\r\n", 0),
    "odd head": (ODD + b"abc", 3),
    "chunks": (CHUNKED + b'5;x="y;";z\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n', 5),
    "gzip": (OK + GZIP + b"Content-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED, 550),
    "gzip in chunks": (
        CHUNKED[:-2] + GZIP + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ZIPPED), ZIPPED),
        550,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
    "404": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", None),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 400\r\n\r\n", None),
}  # fmt: skip
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("name", list(WHOLE))
def test_whole_message_is_what_was_sent_wherever_it_is_divided(
    run: Run, store: Keeping, name: str
) -> None:
    message, length = WHOLE[name]

    async def work(behave: Behaviour, tries: int) -> None:
        async with rig(behave, store=store) as it:
            for _ in range(tries):
                result = await it.get("/a?b")
                assert isinstance(result, Response), result
                assert received(result.exchanged) == message
                assert result.exchanged is not None
                assert result.exchanged.truncated is None
                assert result.exchanged.chunked is (b"chunked" in message)
                head = message.index(b"\r\n\r\n") + 4
                assert result.exchanged.head_length == head
                assert result.exchanged.request == it.site.requests[-1][1].encode()
                assert result.exchanged.peer == "127.0.0.1"
                if length is not None:
                    assert len(body_of(result)) == length

    run(work(sends(message), 2))
    run(work(sends(HINTS + b"\r\n", HINTS + message), 1))
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    run(work(sends(message + surplus, closes=True), 1))


@pytest.mark.parametrize("name", ["odd head", "chunks"])
def test_split_at_every_byte_it_is_the_same(run: Run, store: Keeping, name: str) -> None:
    message, _ = WHOLE[name]

    async def work() -> None:
        places = iter(range(1, len(message)))

        async def behave(visit: Visit) -> None:
            while True:
                await visit.request()
                at = next(places)
                await visit.send(message[:at])
                await asyncio.sleep(0.001)
                await visit.send(message[at:])

        async with rig(behave, store=store) as it:
            for _ in range(1, len(message)):
                result = await it.get()
                assert isinstance(result, Response)
                assert received(result.exchanged) == message

    run(work())


def test_response_to_head_ends_with_its_head(run: Run, store: Keeping) -> None:
    head = OK + b"Content-Length: 500\r\n\r\n"

    async def work() -> None:
        async with rig(sends(head), store=store) as it:
            plan = it.plan()
            plan.method = "HEAD"
            for _ in range(2):
                result = await it.engine.attempt(plan, None)
                assert isinstance(result, Response)
                assert received(result.exchanged) == head
                assert result.exchanged is not None
                assert (result.exchanged.method, result.exchanged.truncated) == ("HEAD", None)

    run(work())


def test_body_up_to_the_close_is_whole(run: Run, store: Keeping) -> None:
    message = OK + b"\r\n" + b"all there is"

    async def work() -> None:
        async with rig(sends(message, closes=True), store=store) as it:
            result = await it.get()
            assert isinstance(result, Response)
            assert received(result.exchanged) == message
            assert result.exchanged is not None
            assert result.exchanged.truncated is None

    run(work())


@pytest.mark.parametrize("coding", ["none", "gzip"])
def test_big_body_goes_through_a_file_without_a_name(
    run: Run, store: Keeping, tmp_path: Path, coding: str
) -> None:
    """Decoding it in threads, the receiver is behind now and then."""
    sent = gzip.compress(BIG, 1) if coding == "gzip" else BIG
    fields = b"Content-Encoding: gzip\r\n" if coding == "gzip" else b""
    message = OK + fields + b"Content-Length: %d\r\n\r\n" % len(sent) + sent

    async def work() -> None:
        async with rig(sends(message), store=store) as it:
            results = await asyncio.gather(it.get(), it.get())
            for result in results:
                assert isinstance(result, Response)
                assert body_of(result) == BIG
                assert received(result.exchanged) == message
            assert not list(tmp_path.iterdir())

    run(work())
    store.recordings.close()


def test_request_with_a_body_is_kept_as_sent(run: Run, store: Keeping) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.reader.readexactly(7)
        await visit.send(WHOLE["length"][0])

    async def work() -> None:
        async with rig(behave, store=store) as it:
            plan = it.plan("/up")
            plan.method, plan.body = "POST", b"payload"
            result = await it.engine.attempt(plan, None)
            assert isinstance(result, Response)
            sent = result.exchanged
            assert sent is not None
            assert (sent.method, sent.body) == ("POST", b"payload")
            assert sent.request == it.site.requests[0][1].encode()
            assert b"Content-Length: 7\r\n" in sent.request

    run(work())


def cut(how: str, *pieces: bytes) -> Behaviour:
    async def behave(visit: Visit) -> None:
        await visit.request()
        for piece in pieces:
            await visit.send(piece)
        if how == "silence":
            await visit.gone()

    return behave


CUT = {
    "within a body": ("close", OK + b"Content-Length: 9\r\n\r\nhello", "disconnect"),
    "within a chunk": ("close", CHUNKED + b"9\r\nhello", "disconnect"),
    "behind the head": ("close", CHUNKED, "disconnect"),
    "silence": ("silence", OK + b"Content-Length: 9\r\n\r\nhello", "time"),
    "no chunk": ("silence", CHUNKED + b"5\r\nhello\r\nxyz\r\n", "unspecified"),
    "no gzip": ("silence", OK + GZIP + b"Content-Length: 99\r\n\r\nno gzip at all", "unspecified"),
    "more than allowed": ("silence", OK + b"Content-Length: 9000\r\n\r\n", "length"),
    "more than allowed in chunks": ("silence", CHUNKED + b"1400\r\n" + b"." * 0x1400, "length"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CUT))
def test_message_is_kept_as_far_as_it_came_and_says_why(
    run: Run, store: Keeping, name: str
) -> None:
    how, sent, why = CUT[name]

    async def work() -> None:
        policy, limits = BodyPolicy(max_bytes=5000), Timeouts(silence_s=0.3)
        async with rig(cut(how, sent), store=store, policy=policy, timeouts=limits) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.exchanged is not None
            assert result.exchanged.truncated == why
            assert received(result.exchanged) == sent

    run(work())


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX: y", b"<html>no HTTP</html>\r\n\r\n"])
def test_no_complete_head_is_no_message(run: Run, store: Keeping, sent: bytes) -> None:
    async def work() -> None:
        async with rig(cut("close", sent), store=store) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.exchanged is None

    run(work())


def test_message_that_came_whole_but_failed_is_whole(run: Run, store: Keeping) -> None:
    broken = OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + ZIPPED[:20]

    async def work() -> None:
        async with rig(sends(broken), store=store) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.TRUNCATED
            assert result.exchanged is not None
            assert result.exchanged.truncated is None
            assert received(result.exchanged) == broken

    run(work())


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /on\r\n"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (REDIRECT + b"Content-Length: 4\r\n\r\nhere", None),
        (b"HTTP/1.1 404 No\r\nContent-Length: 90000\r\n\r\n" + b"." * 90_000, "length"),
        (REDIRECT + b"Content-Length: 9\r\n\r\nhere", "time"),
        (REDIRECT + b"Transfer-Encoding: chunked\r\n\r\nhere\r\n", "unspecified"),
    ],
)
def test_body_of_a_redirect_is_kept_and_ends_nothing(
    run: Run, store: Keeping, message: bytes, why: str | None
) -> None:
    """Nor is more of an unwanted body kept than is read of one."""
    at_most = message.index(b"\r\n\r\n") + 4 + DRAIN_BYTES

    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(message)
        await visit.gone()

    async def work() -> None:
        async with rig(behave, store=store, timeouts=Timeouts(silence_s=0.3)) as it:
            result = await it.get()
            assert isinstance(result, Response), result
            assert result.exchanged is not None
            assert result.exchanged.truncated == why
            assert received(result.exchanged) == message[:at_most]

    run(work())


def test_of_an_answer_that_is_asked_for_again_only_the_last_message_is_kept(
    run: Run, store: Keeping
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(WHOLE["length"][0])
        await visit.request()  # on a kept connection: closed, so it goes out again

    async def work() -> None:
        async with rig(behave, store=store) as it:
            for _ in range(2):
                result = await it.get()
                assert isinstance(result, Response)
                assert received(result.exchanged) == WHOLE["length"][0]
            assert store.begun == 3

    run(work())


def test_session_of_aiohttp_and_a_store_that_keeps_nothing_give_no_messages(
    run: Run, store: Keeping
) -> None:
    async def work(way: str, there: MemoryStore) -> None:
        async with rig(sends(WHOLE["length"][0]), way=way, store=there) as it:
            result = await it.get()
            assert isinstance(result, Response)
            assert result.exchanged is None

    run(work("direct", MemoryStore()))
    run(work("session", store))


def test_spool_uses_its_memory_and_its_file_again(tmp_path: Path) -> None:
    spool = Recordings(tmp_path, room=3 * MEMORY_BYTES)

    def message(size: int) -> SpooledRecording:
        made = spool.begin()
        for start in range(0, size, 100_000):
            made.write(memoryview(BIG)[start : min(size, start + 100_000)])
        return made

    sizes = [MEMORY_BYTES, 10, 1_000_000, MEMORY_BYTES, MEMORY_BYTES, 600_000, 0]
    for _ in range(3):
        messages = [message(size) for size in sizes]
        assert [b"".join(each.pieces()) for each in messages] == [BIG[:size] for size in sizes]
        assert spool._blocks == 4 + 1 + 3, "two long ones, and the one that memory has no room for"
        messages[2].close()
        again = message(900_000)
        assert b"".join(again.pieces()) == BIG[:900_000]
        assert spool._blocks == 8, "blocks are used again"
        del messages, again
    spool.take_memory(0)
    assert spool._room == 3 * MEMORY_BYTES
    spool.close()
