"""Reads answers from one connection, one at a time: what is HTTP, where it ends, what follows it.

    HEAD ──▶ PARSED (chunked: httptools finds the end) ─────────────┐
      │                                                             ├──▶ future done
      └────▶ RAW (so many bytes, or all until the connection ends) ─┘

httptools (llhttp) judges the head's and the chunks' syntax, as leniently as aiohttp has its own
copy do. What it leaves to its user is done here: sizes, interim answers, the end of file, and that
nothing which comes after an answer is ever taken for the next one.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import httptools

from fetchpool.engine.exchange import ExchangeError
from fetchpool.engine.faults import translate
from fetchpool.engine.framing import body_length, not_http
from fetchpool.engine.receiver import Appetite
from fetchpool.models import Head

if TYPE_CHECKING:
    from fetchpool.connector import Handler
    from fetchpool.engine.receiver import Receiver
    from fetchpool.engine.watch import Watch

MAX_LINE_BYTES = 64 * 1024
"""Longest header line taken, name and value."""

MAX_HEAD_BYTES = 300 * 1024
"""Longest head taken, with all interim ones before it: curl's limit (MAX_HTTP_RESP_HEADER_SIZE)."""

MAX_HEADERS = 500

MAX_INTERIM = 10
"""Interim (1xx) answers taken before the final one."""

CHUNK_FRAMING_BYTES = 64 * 1024
"""Most bytes spent on extensions and trailers, beyond what a plain chunk needs."""

PLAIN_CHUNK_BYTES = 32
"""What the framing of one chunk may take: a size of up to 16 digits, blanks, two line ends."""

_H = ord("H")

VERSIONS = frozenset({"1.0", "1.1"})

RECEIVE_BUFFER_BYTES = 1 << 20
"""Measured with 100 MB bodies: 1,040 MB/s; with 64 KiB 825 MB/s."""

receive_buffer = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
"""One for all connections: it is filled and emptied within one callback of the event loop.

A memoryview, because asyncio's TLS fills a copy of a bytearray.
"""


class Stage(Enum):
    """Where in an answer a connection is."""

    HEAD = "head"
    PARSED = "parsed"
    RAW = "raw"


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


class ClientProtocol(asyncio.BufferedProtocol):
    """The borrower of one connection: has its events between the first request and its end."""

    __slots__ = (
        "_begun",
        "_body_bytes",
        "_chunks",
        "_done",
        "_fed",
        "_fields",
        "_handler",
        "_headers",
        "_interim",
        "_keep_alive",
        "_left",
        "_loop",
        "_parser",
        "_pieces",
        "_receiver",
        "_refusal",
        "_stage",
        "_status",
        "_transport",
        "_watch",
        "_whole",
        "reusable",
    )

    _receiver: Receiver
    _watch: Watch
    _fields: tuple[tuple[str, str], ...]
    _left: int | None
    """Bytes of the body still to come in stage RAW; None: all that comes until the end."""

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        """Take over the connection of *handler*, which goes on knowing when it is lost."""
        assert handler.transport is not None
        self._handler = handler
        self._loop = loop
        self._transport = handler.transport
        self._parser: httptools.HttpResponseParser | None = None
        self._done: asyncio.Future[None] | None = None
        self._headers: list[tuple[str, str]] = []
        self._pieces: list[bytes] = []
        self.reusable = False
        """Whether the connection is fit for another request: its answer came whole, and alone."""
        handler.borrower = self
        handler.transport.set_protocol(self)

    # -- for the exchange ------------------------------------------------------------------------

    def send(
        self, request: bytes, watch: Watch, receiver: Receiver, early: bytes = b""
    ) -> asyncio.Future[None]:
        """Write *request*; the future is done when the answer is in *receiver*, but for `finish`.

        *early* is what the server had sent before. The future's exception is an `ExchangeError`,
        what the receiver raised, or a bug. Then, or once it was cancelled, `reusable` is False.
        """
        self._watch = watch
        self._receiver = receiver
        self._stage = Stage.HEAD
        self._status = 0
        self._begun = self._whole = False
        self._refusal: str | None = None
        self._interim = self._fed = self._body_bytes = self._chunks = 0
        self.reusable = False
        if self._parser is None:
            self._parser = self._make_parser()
        self._done = done = self._loop.create_future()
        self._transport.write(request)
        if early:
            self._take(memoryview(early))
        return done

    def _make_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        # What aiohttp sets for its own: bare line feeds, control characters in values, `8 \r\n`.
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        return parser

    # -- for the transport -----------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes are to be put."""
        return receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take *nbytes* that were put into the buffer."""
        self._take(receive_buffer[:nbytes])

    def _take(self, data: memoryview) -> None:
        done = self._done
        if done is None or done.done():
            self._unasked()
            return
        self._watch.received(len(data), monotonic())
        try:
            if self._stage is Stage.RAW:
                self._take_raw(data)
            else:
                self._parse(data)
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            self._end(error)

    def _unasked(self) -> None:
        """Bytes that belong to no request: never another URL's answer."""
        self.reusable = False
        self._handler.leave_idle()
        self._handler.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: a body without length is complete, all else is not."""
        self.reusable = False
        self._handler.connection_lost(exc)
        self._handler.borrower = self._parser = None  # both refer to this object
        if self._done is None or self._done.done():
            return
        if exc is None and self._stage is Stage.RAW and self._left is None:
            self._end(None)
        else:
            self._end(self._lost(exc))

    def _lost(self, exc: Exception | None) -> ExchangeError:
        error: Exception = aiohttp.ServerDisconnectedError()
        if isinstance(exc, OSError):
            error = aiohttp.ClientOSError(*exc.args)
        watch = self._watch
        return translate(
            error,
            answering=self._receiver.answer is not None,
            reused=watch.reused,
            quiet=watch.bytes_seen == 0,
        )

    # -- reading ---------------------------------------------------------------------------------

    def _parse(self, data: memoryview) -> None:
        """Let the parser have *data*, then take over what it found, in its order."""
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
        surplus = self._whole and problem is not None
        if self._stage is Stage.HEAD:
            if not self._status:
                if problem is not None:
                    raise not_http(problem)
                if self._fed > MAX_HEAD_BYTES:
                    raise not_http("an endless head")
                return
            if self._take_head() is Appetite.NONE:
                self._end(None, reusable=self._whole and not surplus)
                return
        if not self._take_pieces():
            self._end(None)
        elif problem is not None and not self._whole:
            raise not_http(problem)
        elif self._stage is Stage.PARSED and not surplus and self._framing_is_endless():
            raise not_http("endless chunk extensions or trailers")
        elif self._whole:
            self._end(None, reusable=not surplus)

    def _take_head(self) -> Appetite:
        """Hand over the head, and choose how to find the body's end."""
        fields = self._fields
        if self._fed > MAX_LINE_BYTES:
            _check_sizes(fields)
        head = Head(self._status, fields)
        length = body_length(head)
        appetite = self._receiver.head(head, length)
        if length is None and head.get("transfer-encoding") is not None:
            self._stage = Stage.PARSED
        elif not self._whole:
            self._stage = Stage.RAW
            self._left = length
        elif length is None:
            raise not_http("a length in disguise")
        return appetite

    def _take_pieces(self) -> bool:
        """Hand over what the parser found of the body; return False if no more of it is wanted."""
        pieces = self._pieces
        if pieces and self._stage is Stage.PARSED and not self._chunks:
            # `chunked\t` is chunked to RFC 9112 §5 and §6.1, but not to the parser.
            raise not_http("a Transfer-Encoding other than chunked")
        wanted = True
        for piece in pieces:
            self._body_bytes += len(piece)
            wanted = wanted and self._receiver.feed(piece)
        if self._stage is Stage.RAW:
            self._parser = None  # it has seen half an answer
            if self._left is not None:
                self._left -= self._body_bytes
        pieces.clear()
        return wanted

    def _framing_is_endless(self) -> bool:
        """Return True if more was spent on chunk extensions and trailers than is reasonable."""
        spent = self._fed - self._body_bytes - PLAIN_CHUNK_BYTES * self._chunks
        if spent <= CHUNK_FRAMING_BYTES:
            return False
        head = sum(len(name) + len(value) + 4 for name, value in self._fields)
        return spent - head > CHUNK_FRAMING_BYTES

    def _take_raw(self, data: memoryview) -> None:
        """Take *data* as part of the body, up to its length."""
        left, surplus = self._left, False
        if left is not None:
            surplus = len(data) > left
            data = data[:left]
            self._left = left = left - len(data)
        if not self._receiver.feed(data):
            self._end(None)
        elif left == 0:
            self._end(None, reusable=not surplus)

    def _end(self, error: Exception | None, *, reusable: bool = False) -> None:
        done = self._done
        assert done is not None
        self._pieces.clear()
        self.reusable = reusable and self._keep_alive
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    # -- for the parser --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Refuse a second answer in the same read."""
        if self._whole:
            raise _StopParsing
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or a trailer's."""
        text = value.decode("latin-1")
        if "\0" in text:
            self._refuse("a NUL in a header")
        if text[-1:] in " \t":
            text = text.rstrip(" \t")
        self._headers.append((_names[name], text))

    def on_headers_complete(self) -> None:
        """Take the final answer's head; pass over an interim one."""
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
        self._status = status
        self._fields = tuple(self._headers)
        self._headers.clear()
        self._keep_alive = parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunks += 1

    def on_message_complete(self) -> None:
        """Take note that the answer is complete, unless it was an interim one."""
        self._whole = self._status != 0

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
