"""Reads the head of a response; both exchanges use what is found here.

    bytes ──▶ HeadReader ──▶ Opening (head, how its body is framed, may the connection serve again)
                 └ Section: the field lines of a head, or of a trailer

A line ends with LF, before which there may be one CR. A CR anywhere else ends a line for some
parsers and not for others, so such a response is refused (RFC 9112 §2.2), as is a NUL. A line whose
name is no token is ignored, unless it could define how the body is to be read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fetchpool.http.framing import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_INTERIM,
    MAX_LINE_BYTES,
    body_length,
    is_chunked,
    not_http,
)
from fetchpool.model.values import Head

_UNFIT = re.compile(rb"\0|\r(?!\n|\Z)")
"""What no line may contain; a CR at the end of the data may belong to a line end."""

_BEGINNINGS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
"""The versions that are read (RFC 9112 §2.3)."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?", re.DOTALL)

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name (RFC 9110 §5.6.2)."""

_NO_LETTER = re.compile(rb"[^a-z]+")
_DECISIVE = (b"contentlength", b"transferencoding", b"contentencoding")
"""Names that define how a body is to be read, without their punctuation."""

_NO_TRAILER = frozenset({"content-length", "transfer-encoding"})

_BLANKS = b" \t"


class Opening(NamedTuple):
    """What the final response begins with."""

    head: Head
    length: int | None
    """Of the body; None if only its end will show it."""
    chunked: bool
    keep_alive: bool
    """Whether the connection may serve again."""


class Section:
    """The field lines of one head, or of one trailer."""

    __slots__ = ("_fields", "_has_folds", "_in_field", "_is_trailer", "lines")

    def __init__(self, *, is_trailer: bool = False) -> None:
        self._fields: list[tuple[str, str]] = []
        self._has_folds = False
        self.lines = 0
        self._in_field = False  # the last line was a field, not an ignored line
        self._is_trailer = is_trailer

    def add(self, line: bytes) -> None:
        """Read a *line* without its end; raises `ExchangeError` if ignoring it would be unsafe."""
        self.lines += 1
        if line[0] in _BLANKS:
            self._fold(line)
            return
        raw_name, colon, value = line.partition(b":")
        if not colon:
            raise not_http("a header line without a colon")
        self._in_field = _TOKEN.fullmatch(raw_name) is not None
        if not self._in_field:
            _check_harmless(raw_name)
            return
        name = raw_name.decode("ascii").lower()
        if self._is_trailer and name in _NO_TRAILER:
            raise not_http("framing in a trailer")
        self._fields.append((name, value.strip(_BLANKS).decode("latin-1")))

    def _fold(self, line: bytes) -> None:
        """Read a *line* that continues the one before it (RFC 9112 §5.2)."""
        if self.lines == 1:
            raise not_http("a first header line that begins with a blank")
        if not self._in_field:
            _check_harmless(line.partition(b":")[0])
        else:
            name, value = self._fields[-1]
            value += line.decode("latin-1")
            if len(value) > MAX_LINE_BYTES:
                raise not_http("a header line that is too long")
            self._fields[-1] = (name, value)
            self._has_folds = True

    def take_fields(self) -> tuple[tuple[str, str], ...]:
        """Return names in lower case and values, without blanks around them."""
        if self._has_folds:
            self._fields = [(name, value.strip(" \t")) for name, value in self._fields]
        return tuple(self._fields)


def check_fit(line: bytes | bytearray, start: int = 0) -> None:
    """Refuse a *line*, complete or not, that contains a NUL or a stray CR from *start* on."""
    unfit = _UNFIT.search(line, start)
    if unfit is not None:
        raise not_http("a NUL in a line" if unfit[0] == b"\0" else "a CR that ends no line")


def _check_harmless(name: bytes) -> None:
    """Refuse a line whose *name* is no field to us but might be framing to others."""
    letters = _NO_LETTER.sub(b"", name.lower())
    if any(decisive in letters for decisive in _DECISIVE):
        raise not_http("a malformed header line that could be framing")


class HeadReader:
    """Reads the head of the final response; interim ones before it are skipped."""

    __slots__ = (
        *("_held", "_interim", "_is_1_0", "_method"),
        *("_passed", "_raw", "_searched", "_section", "_status"),
    )

    def __init__(self, method: str = "GET", *, keeps_raw: bool = False) -> None:
        """Read the head of the response to *method*; with *keeps_raw*, `take_raw` returns it."""
        self._method = method
        self._raw: list[bytes] | None = [] if keeps_raw else None
        self._held = bytearray()  # from the first incomplete line on
        self._searched = 0  # how far of that has no line end
        self._passed = 0  # bytes of complete lines
        self._interim = 0
        self._status = 0  # 0: the status line is to come
        self._is_1_0 = False
        self._section = Section()

    def feed(self, data: bytes | memoryview) -> Opening | None:
        """Read on; return what the response begins with once its head is complete.

        Then `take_rest` returns what came behind it. Raises `ExchangeError` (protocol) for what
        isn't HTTP or is ambiguous; where the bytes are divided makes no difference.
        """
        held = self._held
        held += data
        at = 0
        while True:
            if not self._status:
                at = self._begin(at)
            end = held.find(b"\n", max(at, self._searched)) + 1
            if not end:
                break
            opening = self._take_line(bytes(held[at:end]))
            at = end
            if opening is not None:
                del held[:at]
                return opening
        del held[:at]
        if len(held) > MAX_LINE_BYTES or self._passed + len(held) > MAX_HEAD_BYTES:
            raise not_http("an endless head")
        check_fit(held, max(self._searched - 1, 0))
        self._searched = len(held)
        return None

    def take_rest(self) -> bytes:
        """Return, once, what came behind the head."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def take_raw(self) -> bytes:
        """Return the final head as received, with its line ends and the blank line behind it."""
        return b"".join(self._raw or ())

    def _begin(self, at: int) -> int:
        """Return where the response begins, behind line ends; refuse anything else."""
        held = self._held
        start = at
        while True:
            if held.startswith(b"\n", at):
                at += 1
            elif held.startswith(b"\r\n", at):
                at += 2
            else:
                break
        self._count(at - start)
        begun = bytes(held[at : at + 9])
        # A CR may become a line end.
        if begun != b"\r" and not any(known.startswith(begun) for known in _BEGINNINGS):
            raise not_http("neither HTTP/1.0 nor HTTP/1.1")
        return at

    def _count(self, length: int) -> None:
        self._passed += length
        if self._passed > MAX_HEAD_BYTES:
            raise not_http("an endless head")

    def _take_line(self, line: bytes) -> Opening | None:
        """Read a complete *line*."""
        self._searched = 0
        if len(line) > MAX_LINE_BYTES:
            raise not_http("an endless head")
        check_fit(line)
        self._count(len(line))
        if self._raw is not None:
            self._raw.append(line)
        line = line[:-1].removesuffix(b"\r")
        if not self._status:
            self._take_status_line(line)
            return None
        if not line:
            return self._end()
        section = self._section
        section.add(line)
        if section.lines > MAX_HEADERS:
            raise not_http("too many headers")
        return None

    def _take_status_line(self, line: bytes) -> None:
        found = _STATUS_LINE.fullmatch(line)
        status = 0 if found is None else int(found[1])
        if found is None or status < 100:
            raise not_http("a status line that is none")
        self._status = status
        self._is_1_0 = line.startswith(_BEGINNINGS[1])

    def _end(self) -> Opening | None:
        """Check the complete head; return None for an interim one (RFC 9110 §15.2).

        An interim response has no body, whatever it says (RFC 9112 §6.3).
        """
        status, section = self._status, self._section
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise not_http("endless interim answers")
            self._status = 0
            self._section = Section()
            if self._raw is not None:
                self._raw.clear()
            return None
        head = Head(status, section.take_fields())
        length = body_length(head, self._method)
        chunked = length is None and is_chunked(head)
        keep_alive = _keeps_alive(head, is_1_0=self._is_1_0)
        if length is None:
            # A sender of HTTP/1.0 doesn't know chunks, so its framing is not trusted (RFC 9112
            # §6.1).
            keep_alive = keep_alive and chunked and not self._is_1_0
        return Opening(head, length, chunked, keep_alive)


def _keeps_alive(head: Head, *, is_1_0: bool) -> bool:
    """Return whether the head lets the connection serve again (RFC 9112 §9.3)."""
    said = head.get_all("connection") + head.get_all("proxy-connection")
    options = {option.strip(" \t").lower() for value in said for option in value.split(",")}
    if "close" in options:
        return False
    return "keep-alive" in options if is_1_0 else True
