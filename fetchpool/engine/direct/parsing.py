"""Reads any other head than a normal one, and chunks: httptools finds them, here they are judged.

httptools (llhttp) judges the syntax, as leniently as aiohttp has its own copy do. What it leaves to
its user is done here: sizes, versions, interim answers, and that one read holds one answer.
"""

from __future__ import annotations

import httptools

from fetchpool.engine.framing import (
    CHUNK_FRAMING_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_INTERIM,
    MAX_LINE_BYTES,
    PLAIN_CHUNK_BYTES,
    not_http,
)
from fetchpool.models import Head

_H = ord("H")

VERSIONS = frozenset({"1.0", "1.1"})


class _StopParsing(Exception):
    """Raised within a callback of the parser, which then gives up."""


class _Names(dict[bytes, str]):
    """Header names as received → in lower case: servers use the same few.

    A blank before the colon is dropped (RFC 9112 §5.1), as the parser does for the names it knows.
    """

    def __missing__(self, raw: bytes) -> str:
        if len(self) >= MAX_NAMES:
            self.clear()
        name = self[raw] = raw.decode("latin-1").rstrip(" \t").lower()
        return name


MAX_NAMES = 2048
_names = _Names()


class AnswerParser:
    """Parses the answers of one connection, each after a `begin`; to be closed."""

    __slots__ = (
        "_begun",
        "_body_bytes",
        "_fed",
        "_fields",
        "_has_nul",
        "_headers",
        "_interim",
        "_parser",
        "_refusal",
        "chunks",
        "keep_alive",
        "pieces",
        "status",
        "whole",
    )

    _fields: tuple[tuple[str, str], ...]
    keep_alive: bool
    """Whether the connection may serve again; known with the head."""

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # What aiohttp sets for its own: bare line feeds, control characters in values, `8 \r\n`.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._headers: list[tuple[str, str]] = []
        self.pieces: list[bytes] = []
        """Of the body, found since the last `take_body`."""

    def begin(self) -> None:
        """Expect an answer."""
        self._begun = self._has_nul = False
        self._refusal: str | None = None
        self._interim = self._fed = self._body_bytes = 0
        self.status = 0
        """Of the final answer; 0 until its head is complete."""
        self.chunks = 0
        self.whole = False
        """Whether the answer's end was found."""
        self.pieces.clear()

    def close(self) -> None:
        """End it; the parser inside refers to this object."""
        self._parser = None

    def feed(self, data: memoryview) -> str | None:
        """Read on; return what is wrong behind what was found, or None.

        Raises `ExchangeError` where that is in the head.
        """
        parser = self._parser
        assert parser is not None
        if not self._begun:
            self._begun = data[0] == _H or _begins(data)
        self._fed += len(data)
        problem: str | None = None
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            problem = self._refusal or str(error)
        if not self.status:
            if problem is not None:
                raise not_http(problem)
            if self._fed > MAX_HEAD_BYTES:
                raise not_http("an endless head")
        return problem

    def head(self) -> Head:
        """Return the final answer's head; raises `ExchangeError` for one that is too long."""
        if self._fed > MAX_LINE_BYTES:
            _check_sizes(self._fields)
        return Head(self.status, self._fields)

    def take_body(self) -> bytes:
        """Return what was found of the body since the last time."""
        pieces = self.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._body_bytes += len(body)
        return body

    def framing_is_endless(self) -> bool:
        """Return True if more was spent on chunk extensions and trailers than is reasonable."""
        spent = self._fed - self._body_bytes - PLAIN_CHUNK_BYTES * self.chunks
        if spent <= CHUNK_FRAMING_BYTES:
            return False
        head = sum(len(name) + len(value) + 4 for name, value in self._fields)
        return spent - head > CHUNK_FRAMING_BYTES

    # -- for httptools ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second answer in the same read."""
        if self.whole:
            raise _StopParsing
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or a trailer's."""
        text = value.decode("latin-1")
        if "\0" in text:
            self._has_nul = True  # said at the end: where a head is cut decides when this is called
        if text[-1:] in " \t":
            text = text.rstrip(" \t")
        self._headers.append((_names[name], text))

    def on_headers_complete(self) -> None:
        """Take the final answer's head; pass over an interim one."""
        self._check_headers()
        parser = self._parser
        assert parser is not None
        if parser.get_http_version() not in VERSIONS:
            self._refuse("another version of HTTP")
        if len(self._headers) > MAX_HEADERS:
            self._refuse("too many headers")
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._refuse("endless interim answers")
            return
        if status < 200:
            self._refuse(f"a final status can't be {status}")
        self.status = status
        self._fields = tuple(self._headers)
        self._headers.clear()
        self.keep_alive = parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self.pieces.append(piece)

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self.chunks += 1

    def on_message_complete(self) -> None:
        """Take note that the answer is complete, unless it was an interim one."""
        self._check_headers()
        self.whole = self.status != 0

    def _check_headers(self) -> None:
        if self._has_nul:
            self._refuse("a NUL in a header")

    def _refuse(self, why: str) -> None:
        self._refusal = why
        raise _StopParsing


def _begins(data: memoryview) -> bool:
    """Return False if there are only line ends so far, which may precede an answer.

    Raises `ExchangeError` for what isn't HTTP: the parser would also take RTSP and ICE.
    """
    first = bytes(data).lstrip(b"\r\n")[:1]
    if first not in (b"", b"H"):
        raise not_http("no HTTP at all")
    return first == b"H"


def _check_sizes(fields: tuple[tuple[str, str], ...]) -> None:
    """Raise `ExchangeError` for a head, or a line of it, that is too long."""
    lengths = [len(name) + len(value) for name, value in fields]
    if max(lengths, default=0) > MAX_LINE_BYTES:
        raise not_http("a header line that is too long")
    if sum(lengths) > MAX_HEAD_BYTES:
        raise not_http("an endless head")
