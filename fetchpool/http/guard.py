"""Stands between the wire and aiohttp's parser, which gets of an answer what is found here.

    bytes ──▶ HEAD ──▶ SIZED ────▶ WHOLE ──▶ (what comes now was never asked for)
               │ ▲ ├─▶ CHUNKED ─────▲
               └─┘ └─▶ UNTIL_CLOSE
             interim

Two readers of the same bytes may read them in two ways. So there is one, the same as that of the
direct exchange (`heads`, `chunks`), and aiohttp's parser gets a head that is made of what it found:
status, framing, and whether the connection may serve again; then the body, chunks made anew.
"""

from __future__ import annotations

from enum import Enum

from fetchpool.http.chunks import ChunkReader
from fetchpool.http.heads import HeadReader, Opening
from fetchpool.model.values import Head


class Stage(Enum):
    """What the next byte of an answer belongs to."""

    HEAD = "head"
    SIZED = "sized"
    """A body of known length."""
    UNTIL_CLOSE = "until close"
    CHUNKED = "chunked"
    WHOLE = "whole"


class Guard:
    """Follows one answer; see `fetchpool.network.connector.Guard`."""

    __slots__ = ("_chunks", "_heads", "_left", "_stage", "head", "proven", "refusal", "surplus")

    def __init__(self, method: str = "GET") -> None:
        self._stage = Stage.HEAD
        self._heads = HeadReader(method)
        self._chunks = ChunkReader()
        self._left = 0  # of the body
        self.head: Head | None = None
        """The final answer's, once it is complete."""
        self.surplus = False
        """Whether something came behind the answer, which nobody asked for."""
        self.proven = True
        """Whether the body's end is known to be that: False after a cut that anybody can make."""
        self.refusal: BaseException | None = None
        """Why the answer is none, said here or by aiohttp."""

    def feed(self, data: bytes) -> bytes:
        """Follow *data*; return what aiohttp's parser is to have instead.

        Raises `ExchangeError` (protocol) for a head that isn't HTTP, or can be read in two ways.
        What is wrong behind a head is the `refusal`: its status is told, however an answer is cut.
        """
        match self._stage:
            case Stage.HEAD:
                opening = self._heads.feed(data)
                if opening is None:
                    return b""
                self.head = opening.head
                self._open(opening)
                rest = self._heads.take_rest()
                return _rewritten(opening) + (self.feed(rest) if rest else b"")
            case Stage.SIZED:
                body = data[: self._left]
                self.surplus = len(data) > len(body)
                self._left -= len(body)
                if not self._left:
                    self._stage = Stage.WHOLE
                return body
            case Stage.UNTIL_CLOSE:
                return data
            case Stage.CHUNKED:
                return self._take_chunks(data)
            case Stage.WHOLE:
                self.surplus = True
                return b""

    def ended(self, *, proven: bool) -> None:
        """Remember that the connection has ended; *proven*: its peer has said so."""
        if self._stage is Stage.UNTIL_CLOSE:
            self.proven = proven

    def _open(self, opening: Opening) -> None:
        """Find out what follows a head."""
        if opening.chunked:
            self._stage = Stage.CHUNKED
        elif opening.length is None:
            self._stage = Stage.UNTIL_CLOSE
        else:
            self._stage = Stage.SIZED if opening.length else Stage.WHOLE
            self._left = opening.length

    def _take_chunks(self, data: bytes) -> bytes:
        """Return the chunks in *data* as one."""
        chunks = self._chunks
        taken = chunks.feed(data)
        self.refusal = chunks.problem
        body = chunks.take_body()
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        if not chunks.whole:
            return chunk
        self._stage = Stage.WHOLE
        self.surplus = taken < len(data)
        return chunk + b"0\r\n\r\n"


def _rewritten(opening: Opening) -> bytes:
    """Return all that aiohttp's parser needs to know of an answer's head."""
    lines = [b"HTTP/1.1 %d \r\n" % opening.head.status]
    if opening.chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif opening.length is not None:
        lines.append(b"Content-Length: %d\r\n" % opening.length)
    if not opening.keep_alive:
        lines.append(b"Connection: close\r\n")
    return b"".join(lines) + b"\r\n"
