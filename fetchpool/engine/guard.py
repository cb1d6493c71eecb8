"""Stands between the wire and aiohttp's parser: an answer passes if it can be read in one way only.

    bytes ──▶ HEAD ──▶ SIZED ────▶ WHOLE ──▶ (what comes now was never asked for)
               │ ▲ └─▶ CHUNKED ─────▲
               └─┘ └─▶ UNTIL_CLOSE
             interim

aiohttp's parser takes what a bulk fetcher must not: a second answer behind the first, framing
without end, versions that are none. So an answer is followed here, far enough to know where it
ends, before that parser has it; what is no matter of framing (characters, numbers and sizes of
fields) stays its business.
"""

from __future__ import annotations

import re
from enum import Enum

from fetchpool.engine.exchange import ExchangeError
from fetchpool.engine.framing import (
    CHUNK_FRAMING_BYTES,
    MAX_HEAD_BYTES,
    MAX_INTERIM,
    MAX_LENGTH,
    MAX_LINE_BYTES,
    PLAIN_CHUNK_BYTES,
    body_length,
    not_http,
)
from fetchpool.models import Head

_BEGINNINGS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
"""The versions there are (RFC 9112 §2.3); the parser would also take 0.9, 2.0, and RTSP."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] +([0-9]{3})(?: [^\n]*+)?\r?\n")

_LINES = re.compile(rb"(?:[^\r\n][^\n]*+\n)*+")
"""Any number of complete lines that aren't empty."""

_LINE_END = re.compile(rb"\r?\n")

_BLANK = ord(" ")

_JUDGED_FIELDS = re.compile(
    rb"^(content-length|transfer-encoding|location)[ \t]*:(.*\n(?:[ \t].*\n)*)", re.I | re.M
)
"""The fields that `body_length` looks at, with the lines they are folded over."""

_CHUNKED = re.compile(rb"\s*chunked *\r?\n", re.I)

_CHUNK_LINE = re.compile(rb"0*([0-9a-fA-F]{1,16})[ \t]*(?:;[\t -~\x80-\xff]*)?\r?\n")
"""RFC 9112 §7.1. No control character in an extension, in quotes neither."""


class Stage(Enum):
    """What the next byte of an answer belongs to."""

    HEAD = "head"
    SIZED = "sized"
    """A body of known length."""
    UNTIL_CLOSE = "until close"
    CHUNK_LINE = "chunk line"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILER = "trailer"
    WHOLE = "whole"


class Guard:
    """Follows one answer; see `fetchpool.connector.Guard`."""

    __slots__ = ("_at", "_held", "_interim", "_left", "_passed", "_spent", "_stage", "_status",
                 "refusal")  # fmt: skip

    def __init__(self) -> None:
        self._stage = Stage.HEAD
        self._held = bytearray()  # of a head, or of a line between chunks
        self._at = 0  # how far lines of the held head were judged; 0: not a line is complete
        self._passed = 0  # bytes of heads, and of line ends before them
        self._status = 0
        self._interim = 0
        self._left = 0  # of the body, or of the chunk
        self._spent = 0  # on extensions and trailers
        self.refusal: BaseException | None = None
        """Why the answer is none, said here or by aiohttp."""

    def feed(self, data: bytes) -> int:
        """Follow *data*; return how much of it is the answer's: what is behind was not asked for.

        Raises `ExchangeError` (protocol) for what isn't HTTP, or can be read in two ways.
        """
        match self._stage:
            case Stage.HEAD:
                if not self._take_head(data):
                    return len(data)
                rest, self._held = bytes(self._held), bytearray()
                return len(data) - len(rest) + self.feed(rest)
            case Stage.SIZED:
                taken = min(self._left, len(data))
                self._left -= taken
                if not self._left:
                    self._stage = Stage.WHOLE
                return taken
            case Stage.UNTIL_CLOSE:
                return len(data)
            case Stage.WHOLE:
                return 0
            case _:
                return self._take_chunks(data)

    # -- the head --------------------------------------------------------------------------------

    def _take_head(self, data: bytes) -> bool:
        """Return whether the final answer's head is complete; what follows it is held."""
        self._held += data
        if not self._at:
            self._begin()
        if b"\n" in data:  # or no line has become complete
            while (head := self._complete_head()) is not None:
                self._passed += len(head)
                if self._passed > MAX_HEAD_BYTES:
                    break
                if self._judge(head):
                    return True
                self._begin()
        held = len(self._held)
        if self._passed + held > MAX_HEAD_BYTES or held - self._at > MAX_LINE_BYTES:
            raise not_http("an endless head")
        return False

    def _begin(self) -> None:
        """Refuse what doesn't begin as an answer does, but for line ends before it."""
        held = self._held
        if held.startswith((b"\r", b"\n")):
            self._held = held.lstrip(b"\r\n")
            self._passed += len(held) - len(self._held)
            held = self._held
        if not held.startswith(_BEGINNINGS):
            start = bytes(held[:9])
            if not any(beginning.startswith(start) for beginning in _BEGINNINGS):
                raise not_http("neither HTTP/1.0 nor HTTP/1.1")

    def _complete_head(self) -> bytes | None:
        """Return the next head and hold it no longer; None if it isn't complete."""
        held = self._held
        if not self._at:
            status_line = _STATUS_LINE.match(held)
            if status_line is None:
                if b"\n" in held:
                    raise not_http("a status line that is none")
                return None
            if status_line.end() == len(held):
                return None
            self._status = int(status_line[1])
            # The parser passes over one blank before the first field, or the last line end.
            self._at = status_line.end() + (held[status_line.end()] == _BLANK)
        lines = _LINES.match(held, self._at)
        assert lines is not None
        self._at = lines.end()
        last = _LINE_END.match(held, self._at)
        if last is None:
            if held.find(b"\n", self._at) >= 0:
                raise not_http("a header line that is none")
            return None
        head = bytes(held[: last.end()])
        del held[: last.end()]
        self._at = 0
        return head

    def _judge(self, head: bytes) -> bool:
        """Find out what follows *head*; return False if it is interim, hence another head."""
        status = self._status
        interim = 100 <= status < 200 and status != 101
        self._interim += interim
        if self._interim > MAX_INTERIM:
            raise not_http("endless interim answers")
        fields = head[head.index(b"\n") + 1 :].removeprefix(b" ")
        found = [(name.lower(), lines) for name, lines in _JUDGED_FIELDS.findall(fields)]
        coding = dict(found).get(b"transfer-encoding")
        if coding is not None and not _CHUNKED.fullmatch(coding):
            # Blanks behind it are none to RFC 9112 §5, but to the parser it is no coding any more.
            raise not_http("a Transfer-Encoding other than chunked")
        if interim:
            if {b"content-length", b"transfer-encoding"} & dict(found).keys():
                raise not_http("an interim answer with a body")
            return False
        length = body_length(Head(status, tuple((str(n, "ascii"), _value(v)) for n, v in found)))
        if length is not None:
            self._stage = Stage.SIZED if length else Stage.WHOLE
            self._left = length
        else:
            self._stage = Stage.UNTIL_CLOSE if coding is None else Stage.CHUNK_LINE
        return True

    # -- the body --------------------------------------------------------------------------------

    def _take_chunks(self, data: bytes) -> int:
        """Follow the chunks in *data* up to the end of the last one's trailers."""
        at, end = 0, len(data)
        while at < end:
            if self._stage is Stage.CHUNK:
                step = min(self._left, end - at)
                at += step
                self._left -= step
                if not self._left:
                    self._stage = Stage.CHUNK_END
                continue
            line_end = data.find(b"\n", at) + 1
            if not line_end:
                self._held += data[at:]
                break
            line = data[at:line_end]
            if self._held:
                line = bytes(self._held + line)
                self._held.clear()
            at = line_end
            self._take_line(line)
            if self._stage is Stage.WHOLE:
                return at
        if self._spent + len(self._held) > CHUNK_FRAMING_BYTES:
            raise _endless()
        return end

    def _take_line(self, line: bytes) -> None:
        """Take a *line* of what is between and behind chunks."""
        self._spent += len(line)
        if self._stage is Stage.CHUNK_LINE:
            found = _CHUNK_LINE.fullmatch(line)
            self._left = size = MAX_LENGTH + 1 if found is None else int(found[1], 16)
            if size > MAX_LENGTH:
                raise not_http("a chunk size that is none")
            self._spent -= PLAIN_CHUNK_BYTES
            self._stage = Stage.CHUNK if size else Stage.TRAILER
        elif line in (b"\r\n", b"\n"):
            self._stage = Stage.WHOLE if self._stage is Stage.TRAILER else Stage.CHUNK_LINE
        elif self._stage is Stage.CHUNK_END:
            raise not_http("a chunk that is longer than its size")
        if self._spent > CHUNK_FRAMING_BYTES:
            raise _endless()


def _endless() -> ExchangeError:
    return not_http("endless chunk extensions or trailers")


def _value(lines: bytes) -> str:
    """Return what stands behind a field's colon, unfolded, blanks around it cut."""
    return _LINE_END.sub(b"", lines).strip(b" \t").decode("latin-1")
