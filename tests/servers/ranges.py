"""A server of big bodies that breaks off as it is told, and answers to ranges as it is told.

RangeServer({"/big": [cut(whole(BODY), 1 << 20), rest(BODY)]})   one answer a request, in turn;
                                                                 the last one again and again
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tests.servers.thread import ThreadedServer

PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it came."""

    target: str
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def start(self) -> int | None:
        """Where the range asked for begins; None if the whole is asked for."""
        asked = self.headers.get("range")
        return None if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))


@dataclass(frozen=True, slots=True)
class Say:
    """An answer: as much of it as is sent, and what happens then."""

    head: tuple[str, ...]
    body: bytes
    ends: str = "whole"
    """`whole`; `closes` or `stalls` after the body, which is less than the head says."""


Answer = Callable[[Ask], Say]


def whole(body: bytes, etag: str | None = '"v1"', *fields: str) -> Answer:
    """Answer with all of *body*, whatever is asked for."""
    named = () if etag is None else (f"ETag: {etag}",)
    head = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *named, *fields)
    return lambda ask: Say(head, body)


def rest(body: bytes, etag: str = '"v1"', *fields: str, blind: bool = False) -> Answer:
    """Answer to a Range with the rest of *body* if If-Range says *etag*, else with all of it.

    *blind* to If-Range, with the rest whatever it says.
    """

    def answer(ask: Ask) -> Say:
        start = ask.start
        if start is None or (ask.headers.get("if-range") != etag and not blind):
            return whole(body, etag, *fields)(ask)
        span = f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}"
        length = f"Content-Length: {len(body) - start}"
        head = ("HTTP/1.1 206 Partial Content", span, length, f"ETag: {etag}", *fields)
        return Say(head, body[start:])

    return answer


def cut(answer: Answer, at: int, ends: str = "closes") -> Answer:
    """Answer as *answer* does, with the body's first *at* bytes only."""

    def shorter(ask: Ask) -> Say:
        say = answer(ask)
        return replace(say, body=say.body[:at], ends=ends)

    return shorter


def picky(plain: Answer, ranged: Answer) -> Answer:
    """Answer to a Range as *ranged* does, to anything else as *plain*."""
    return lambda ask: (plain if ask.start is None else ranged)(ask)


def with_status(status: int, answer: Answer) -> Answer:
    """Answer as *answer* does, but for the status."""

    def other(ask: Ask) -> Say:
        say = answer(ask)
        return replace(say, head=(f"HTTP/1.1 {status} Other", *say.head[1:]))

    return other


def hang_up(ask: Ask) -> Say:
    """Close without a word."""
    return Say((), b"", "closes")


def chunked(body: bytes, *fields: str) -> Answer:
    """Answer with *body* in one chunk."""
    head = ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *fields)
    return lambda ask: Say(head, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


def to_the_close(body: bytes, *fields: str) -> Answer:
    """Answer with *body*, which ends with the connection."""
    return lambda ask: Say(("HTTP/1.1 200 OK", *fields), body, "closes")


def every(answer: Answer, size: int) -> Answer:
    """Answer as *answer* does, cut at the next multiple of *size* bytes of the whole body."""
    return lambda ask: cut(answer, size - (ask.start or 0) % size)(ask)


def bare(*head: str) -> Answer:
    """Answer with *head* and no body."""
    return lambda ask: Say((*head, "Content-Length: 0"), b"")


class RangeServer(ThreadedServer):
    """Serves the *answers* of each path on 127.0.0.1; may be given others while it runs."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        super().__init__()
        self.answers = {path: list(each) for path, each in answers.items()}
        self.asked: list[Ask] = []
        self.sent: Counter[str] = Counter()
        """Bytes of bodies written so far, by path."""
        self.port = 0
        self.stalled = threading.Event()
        """Set when an answer stalls: all of what comes before has been sent."""

    def url(self, path: str) -> str:
        """Return the URL of *path*."""
        return f"http://127.0.0.1:{self.port}{path}"

    def starts(self, path: str = "/big") -> list[int | None]:
        """Return where the range of each request for *path* began; None = it asked for all."""
        return [ask.start for ask in self.asked if ask.target == path]

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(await reader.readuntil(b"\r\n\r\n"), writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer *request*; return whether the connection is good for another."""
        first, *lines = request.decode("latin-1").strip().split("\r\n")
        fields = (line.partition(": ") for line in lines)
        ask = Ask(first.split(" ")[1], {name.lower(): value for name, _, value in fields})
        self.asked.append(ask)
        answers = self.answers[ask.target]
        say = (answers.pop(0) if len(answers) > 1 else answers[0])(ask)
        if say.head:
            writer.write(("\r\n".join(say.head) + "\r\n\r\n").encode("latin-1"))
        for at in range(0, len(say.body), PIECE):
            piece = say.body[at : at + PIECE]
            writer.write(piece)
            await writer.drain()
            self.sent[ask.target] += len(piece)
        if say.ends == "stalls":
            self.stalled.set()
            await asyncio.sleep(3600)
        return say.ends == "whole"
