"""Reads a chunked body; both exchanges use what is found here.

SIZE ──▶ DATA ──▶ END ──▶ SIZE … 0 ──▶ TRAILER ──▶ whole
"""

from __future__ import annotations

import re
from enum import Enum

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.framing import CHUNK_FRAMING_BYTES, MAX_LENGTH, PLAIN_CHUNK_BYTES, not_http
from fetchpool.http.heads import Section, check_fit

_CHUNK_LINE = re.compile(rb"0*([0-9a-fA-F]{1,16})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
"""RFC 9112 §7.1, with the blanks that servers add. No control character in an extension, not even
in quotes, and no bare LF at its end."""

_MOST_LINE_BYTES = 18
"""A longer chunk line is not looked for in one step."""

_MAX_SIZES = 4096


class _Sizes(dict[bytes, int]):
    """Maps chunk lines to the sizes in them: servers use the same few."""

    def __missing__(self, line: bytes) -> int:
        check_fit(line)
        found = _CHUNK_LINE.fullmatch(line)
        size = MAX_LENGTH + 1 if found is None else int(found[1], 16)
        if size > MAX_LENGTH:
            raise not_http("a chunk size that is none")
        if len(line) <= _MOST_LINE_BYTES:
            if len(self) >= _MAX_SIZES:
                self.clear()
            self[line] = size
        return size


_sizes = _Sizes()


class _Stage(Enum):
    """What the next byte belongs to."""

    SIZE = "size"
    DATA = "data"
    END = "end"
    """The line end behind a chunk."""
    TRAILER = "trailer"


class ChunkReader:
    """Reads the body of one response."""

    __slots__ = ("_held", "_left", "_pieces", "_spent", "_stage", "_trailer", "problem", "whole")

    def __init__(self) -> None:
        self._stage = _Stage.SIZE
        self._held = b""  # of an incomplete line
        self._left = 0  # of the chunk
        self._spent = 0  # bytes of extensions and trailers
        self._pieces: list[bytes] = []
        self._trailer = Section(is_trailer=True)
        self.whole = False
        """Whether the body's end was found."""
        self.problem: ExchangeError | None = None
        """What is wrong behind the part of the body that was found."""

    def feed(self, data: bytes) -> int:
        """Read on; return how much of *data* belongs to the response. Not after its end or a
        `problem`."""
        try:
            return self._feed(data)
        except ExchangeError as error:
            self.problem = error
            return len(data)

    def take_body(self) -> bytes:
        """Return what was found of the body since the last call."""
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    def _feed(self, data: bytes) -> int:
        at, end = 0, len(data)
        while at < end:
            if self._stage is _Stage.SIZE and not self._held:
                at = self._take_whole_chunks(data, at)
            if self._stage is _Stage.DATA:
                piece = data[at : at + self._left]
                self._pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
                if not self._left:
                    self._stage = _Stage.END
                continue
            line_end = data.find(b"\n", at) + 1
            if not line_end:
                self._hold(data[at:])
                break
            line = data[at:line_end]
            if self._held:
                line, self._held = self._held + line, b""
            at = line_end
            self._take_line(line)
            if self.whole:
                return at
        return end

    def _take_whole_chunks(self, data: bytes, at: int) -> int:
        """Read the chunks that lie whole in *data* from *at* on, with known sizes; return their
        end.

        That is most chunks; a body of tiny ones takes a fifth of the time of reading line by line
        (0.6 µs a chunk).
        """
        pieces, find, known = self._pieces, data.find, _sizes.get
        while True:
            start = find(b"\n", at, at + _MOST_LINE_BYTES) + 1
            size = known(data[at:start])
            if not size:
                return at
            stop = start + size
            if data[stop : stop + 2] != b"\r\n":
                return at
            pieces.append(data[start:stop])
            self._spent += start - at - PLAIN_CHUNK_BYTES
            at = stop + 2

    def _hold(self, part: bytes) -> None:
        """Keep *part* of a line, unless no line begins so."""
        held = self._held = self._held + part
        if self._stage is _Stage.END and held != b"\r":
            raise _too_long()
        check_fit(held, max(len(held) - len(part) - 1, 0))
        if self._spent + len(held) > CHUNK_FRAMING_BYTES:
            raise _endless()

    def _take_line(self, line: bytes) -> None:
        """Read a *line* between or behind chunks."""
        if self._stage is _Stage.SIZE:
            self._left = _sizes[line]
            self._spend(len(line) - PLAIN_CHUNK_BYTES)
            self._stage = _Stage.DATA if self._left else _Stage.TRAILER
        elif self._stage is _Stage.END:
            if line not in (b"\r\n", b"\n"):
                raise _too_long()
            self._stage = _Stage.SIZE
        else:
            check_fit(line)
            self._spend(len(line))
            field = line[:-1].removesuffix(b"\r")
            if field:
                self._trailer.add(field)
            else:
                self.whole = True

    def _spend(self, length: int) -> None:
        self._spent += length
        if self._spent > CHUNK_FRAMING_BYTES:
            raise _endless()


def _too_long() -> ExchangeError:
    return not_http("a chunk that is longer than its size")


def _endless() -> ExchangeError:
    return not_http("endless chunk extensions or trailers")
