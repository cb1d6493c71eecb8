"""Reads answers from one connection, one at a time: what is HTTP, where it ends, what follows it.

    WAITING ──▶ START ──▶ HEAD ──▶ CHUNKED (a reader finds the end) ──────────┐
                  │        │                                                  ├──▶ future done
                  └────────┴─────▶ RAW (so many bytes, or all until the end) ─┘

A request waits for those that are made in the same turn of the event loop: they leave together.

Where the receiver falls behind (it decodes what there is much of in a thread), nothing is read, and
what has come all the same waits, the connection's end too, until it has caught up.

A normal head (`direct.heads`) leads there at once; any other is read line by line (`http.heads`),
chunks by `http.chunks`: the readers of the other exchange. Nothing which comes after an answer is
ever taken for the next one.
"""

from __future__ import annotations

import asyncio
import threading
from enum import Enum
from time import monotonic, time
from typing import TYPE_CHECKING

import aiohttp

from fetchpool.http.chunks import ChunkReader
from fetchpool.http.direct.heads import read_normal
from fetchpool.http.direct.sending import Sender
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.faults import translate
from fetchpool.http.heads import HeadReader
from fetchpool.http.receiver import DRAIN_BYTES, BodyAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from fetchpool.http.direct.sending import Departures
    from fetchpool.http.receiver import Receiver
    from fetchpool.http.watch import Watch
    from fetchpool.model.values import Head
    from fetchpool.network.connector import Handler

RECEIVE_BUFFER_BYTES = 1 << 20
"""Measured with 100 MB bodies: 1,040 MB/s; with 64 KiB 825 MB/s."""


class _Buffers(threading.local):
    def __init__(self) -> None:
        # A memoryview, because asyncio's TLS fills a copy of a bytearray.
        self.of_thread = memoryview(bytearray(RECEIVE_BUFFER_BYTES))


_buffers = _Buffers()


def receive_buffer() -> memoryview:
    """Return the buffer for all connections of this thread.

    It is filled and emptied within one callback of the event loop. A thread has one loop at a time;
    another thread's may run between the two.
    """
    return _buffers.of_thread


class Stage(Enum):
    """Where in an answer a connection is."""

    WAITING = "waiting"
    """The request has not left."""
    START = "start"
    """Nothing has come."""
    HEAD = "head"
    """It is being read line by line."""
    CHUNKED = "chunked"
    RAW = "raw"


# As globals: up to Python 3.11 a member is found by a call of its class's metaclass.
_WAITING, _START, _HEAD, _CHUNKED, _RAW = Stage
_CLOSE, _DRAIN = BodyAction.CLOSE, BodyAction.DRAIN


class _Gone(asyncio.Transport):
    """The transport of a connection that is no more."""

    def is_closing(self) -> bool:
        return True


_gone = _Gone()


class ClientProtocol(asyncio.BufferedProtocol):
    """The borrower of one connection: has its events between the first request and its end."""

    __slots__ = (
        "_approve",
        "_behind",
        "_body",
        "_buffer",
        "_chunks",
        "_departures",
        "_done",
        "_early",
        "_handler",
        "_heads",
        "_held",
        "_keep_alive",
        "_left",
        "_loop",
        "_lost",
        "_method",
        "_receiver",
        "_request",
        "_sender",
        "_stage",
        "_surplus",
        "_transport",
        "_watch",
        "proven",
        "reusable",
        "whole",
    )

    _request: bytes
    _receiver: Receiver
    _approve: Callable[[int], None] | None
    _watch: Watch
    _keep_alive: bool
    _left: int | None
    """Bytes of the body still to come in stage RAW; None: all that comes until the end."""

    def __init__(
        self, handler: Handler, loop: asyncio.AbstractEventLoop, departures: Departures
    ) -> None:
        """Take over the connection of *handler*, which goes on knowing when it is lost."""
        assert handler.transport is not None
        self._handler = handler
        self._buffer = receive_buffer()
        self._loop = loop
        self._departures = departures
        self._transport = handler.transport
        self._heads: HeadReader | None = None
        self._chunks: ChunkReader | None = None
        self._done: asyncio.Future[bool] | None = None
        self.reusable = False
        """Whether the connection is fit for another request: its answer came whole, and alone."""
        self.proven = True
        """Whether the body's end is known to be that (see `Receiver.finish`)."""
        self.whole = False
        """Whether the answer has come to its end."""
        self._behind = False
        self._held = b""  # what has come while the receiver was behind
        self._lost: tuple[Exception | None] | None = None  # that the connection was, meanwhile
        self._method = "GET"
        self._body: bytes | None = None
        self._sender = Sender(handler.transport)
        self._early = handler.take_early()  # what the server said before it was asked
        handler.borrower = self
        handler.transport.set_protocol(self)

    # -- for the exchange ------------------------------------------------------------------------

    def send(
        self,
        request: bytes,
        watch: Watch,
        receiver: Receiver,
        approve: Callable[[int], None] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> asyncio.Future[bool]:
        """Let *request*, a head, and *body* leave with the others of this turn of the event loop.

        What *approve* raises of the answer's status comes before the receiver has anything of it.

        The future is True when the answer is in *receiver*, but for `finish`. It is False when the
        receiver is behind: await `catch_up` for another future. Its exception is an
        `ExchangeError`, what the receiver raised, or a bug. Then, or once it was cancelled,
        `reusable` is False.
        """
        self._request = request
        self._body = body
        self._method = method
        self._watch = watch
        self._receiver = receiver
        self._approve = approve
        self._stage = _WAITING
        self.whole = self._surplus = False
        self.reusable = False
        self._done = done = self._loop.create_future()
        self._departures.add(self)
        return done

    def leave(self, now: float) -> None:
        """Write the request, unless it left before, or nobody waits for its answer any more.

        On a connection that served before, what has come by now was not asked for: then the
        request fails as it does where the server has closed the connection meanwhile.
        """
        if self._stage is not _WAITING or self._done is None or self._done.done():
            return
        if self._transport.is_closing():
            return  # `connection_lost` is on its way
        if self._watch.reused and self._handler.has_unread():
            self._reject()
            return
        self._stage = _START
        self._watch.departed(now)
        if self._watch.transcript is not None:
            self._watch.transcript.sent_at = time()
        if self._body is None:
            self._transport.write(self._request)
        else:
            self._sender.send(self._request, self._body, self._watch)
        if self._early:
            early, self._early = self._early, b""
            self._take(memoryview(early))

    def fail(self, error: Exception) -> None:
        """Have *error* raised where the answer is awaited, if it still is."""
        if self._done is not None and not self._done.done():
            self._end(error)

    async def catch_up(self) -> asyncio.Future[bool]:
        """Wait until the receiver has caught up, read on, and return a future like that of `send`.

        Raises what the receiver raises.
        """
        try:
            await self._receiver.catch_up(self._watch)
        finally:
            self._behind = False
        self._done = done = self._loop.create_future()
        try:
            self._settle()
        except ExchangeError as error:
            self._end(error)
        held, self._held = self._held, b""
        if held:
            self._take(memoryview(held))
        if self._behind:
            return done
        if self._lost is not None:
            self._take_end(*self._lost)
        elif not self._transport.is_closing():
            self._transport.resume_reading()
        return done

    # -- for the transport -----------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Write no more of a body until the server has read on."""
        self._sender.pause()

    def resume_writing(self) -> None:
        """Go on with the body, unless its answer is there already."""
        self._sender.resume()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes are to be put."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take *nbytes* that were put into the buffer."""
        self._take(self._buffer[:nbytes])

    def _take(self, data: memoryview) -> None:
        done = self._done
        if done is None or done.done():
            if self._behind:
                self._held += data
            else:
                self._unasked()
            return
        now = monotonic()
        if self._stage is _WAITING:
            if self._watch.reused:
                self._reject()
                return
            # A server that doesn't wait to be asked: this is its answer, and the connection's only.
            self._handler.force_close()
            self.leave(now)
            if done.done():  # what had come earlier was all of it, or is being decoded
                self._take(data)
                return
        self._watch.received(len(data), now)
        try:
            stage = self._stage
            if stage is _START:
                if not self._take_normal(data):
                    self._read_head(data)
            elif stage is _RAW:
                self._take_raw(data)
            elif stage is _CHUNKED:
                self._take_chunks(data)
            else:
                self._read_head(data)
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            self._end(error)

    def _unasked(self) -> None:
        """Bytes that belong to no request: never another URL's answer."""
        self.reusable = False
        self._handler.end_idle()
        self._handler.abort()

    def _reject(self) -> None:
        """Give up a connection on which something came before its request left."""
        self._unasked()
        self._end(self._broken_off(None))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: a body without length is complete, all else is not."""
        self.reusable = False
        rest = self._handler.take_undelivered()
        if rest and self._done is not None and (self._behind or not self._done.done()):
            self._take(memoryview(rest))
        if exc is None and self._stage is _RAW and self._left is None:
            self.proven = self._handler.is_end_proven()
        self._handler.connection_lost(exc)
        self._handler.borrower = None  # it refers to this object
        self._transport = _gone  # which would refer to it until garbage is looked for
        if self._behind:
            self._lost = (exc,)
        else:
            self._take_end(exc)

    def _take_end(self, exc: Exception | None) -> None:
        if self._done is None or self._done.done():
            return
        if exc is None and self._stage is _RAW and self._left is None:
            self.whole = True
            self._end(None)
        else:
            self._end(self._broken_off(exc))

    def _broken_off(self, exc: Exception | None) -> ExchangeError:
        error: Exception = aiohttp.ServerDisconnectedError()
        if isinstance(exc, OSError):
            error = aiohttp.ClientOSError(*exc.args)
            error.__cause__ = exc
        watch = self._watch
        at = watch.phase(answering=self._receiver.answer is not None)
        return translate(error, at=at, reused=watch.reused)

    # -- reading ---------------------------------------------------------------------------------

    def _take_normal(self, data: memoryview) -> bool:
        """Take *data*, an answer's first bytes, if they begin with a normal head."""
        found = None if self._method == "HEAD" else read_normal(data)
        if found is None:
            return False
        head, length, size, self._keep_alive = found
        if length == len(data) - size and self._approve is None and self._watch.transcript is None:
            self._take_whole(head, data[size:])
        else:
            self._take_head(head, length, data[:size], data[size:], chunked=length is None)
        return True

    def _take_whole(self, head: Head, body: memoryview) -> None:
        """Take a response that is all there, in one read, as most small ones are."""
        self._stage = _RAW
        self._left = 0
        self.whole = True
        receiver = self._receiver
        is_left = receiver.head(head, len(body)) is _CLOSE
        if receiver.unpacking is None:
            self._end(None, reusable=is_left or receiver.feed(body))
        else:
            self._hand_over(body)

    def _read_head(self, data: memoryview) -> None:
        """Take *data* as part of a head that isn't a normal one."""
        if self._heads is None:
            self._stage = _HEAD
            keeps_raw = self._watch.transcript is not None
            self._heads = HeadReader(self._method, keeps_raw=keeps_raw)
        opening = self._heads.feed(data)
        if opening is None:
            return
        rest, raw = memoryview(self._heads.take_rest()), self._heads.take_raw()
        self._heads = None
        self._keep_alive = opening.keep_alive
        self._take_head(opening.head, opening.length, raw, rest, chunked=opening.chunked)

    def _take_head(
        self,
        head: Head,
        length: int | None,
        raw: bytes | memoryview,
        rest: memoryview,
        *,
        chunked: bool,
    ) -> None:
        """Hand over the head, and of the *rest* that came with it what is the body's.

        *raw* is the head as received, for who takes it down.
        """
        if self._approve is not None:
            self._approve(head.status)
        transcript = self._watch.transcript
        if transcript is not None:
            transcript.head(raw, chunked=chunked)
        if chunked:
            self._stage = _CHUNKED
            self._chunks = ChunkReader()
        else:
            self._stage = _RAW
            self._left = length
        action = self._receiver.head(head, length)
        if action is _CLOSE:
            self._end(None, reusable=self._is_all(rest))
            return
        if transcript is not None and action is _DRAIN:
            transcript.keep_at_most(DRAIN_BYTES)
        if length == len(rest):
            self._left = 0
            self.whole = True
            if transcript is not None:
                transcript.body(rest)
            self._hand_over(rest)
        elif rest:
            (self._take_chunks if chunked else self._take_raw)(rest)

    def _is_all(self, rest: memoryview) -> bool:
        """Return whether *rest*, which came with the head, is exactly the body."""
        chunks = self._chunks
        if chunks is None:
            return len(rest) == self._left
        return chunks.feed(bytes(rest)) == len(rest) and chunks.whole

    def _take_chunks(self, data: memoryview) -> None:
        """Take *data* as part of a chunked body."""
        chunks = self._chunks
        assert chunks is not None
        taken = chunks.feed(bytes(data))
        if self._watch.transcript is not None:
            self._watch.transcript.body(data[:taken])
        self.whole = chunks.whole
        self._surplus = taken < len(data)
        body = chunks.take_body()
        if body:
            self._hand_over(body)
        else:
            self._settle()

    def _take_raw(self, data: memoryview) -> None:
        """Take *data* as part of the body, up to its length."""
        left = self._left
        if left is not None:
            self._surplus = len(data) > left
            data = data[:left]
            self._left = left = left - len(data)
            self.whole = not left
        if self._watch.transcript is not None:
            self._watch.transcript.body(data)
        self._hand_over(data)

    def _hand_over(self, body: bytes | memoryview) -> None:
        """Give the receiver *body*, which is all of the body in this read."""
        receiver = self._receiver
        if not receiver.feed(body):
            self._end(None)
        elif receiver.unpacking is not None and receiver.behind:
            self._wait()
        elif self._chunks is None and self.whole:
            self._end(None, reusable=not self._surplus)
        else:
            self._settle()

    def _wait(self) -> None:
        """Read no further until the receiver has caught up."""
        assert self._done is not None
        self._behind = True
        if not self._transport.is_closing():
            self._transport.pause_reading()
        self._done.set_result(False)

    def _settle(self) -> None:
        """Judge the answer so far, now that all that was read of its body is with the receiver."""
        if self._chunks is not None and self._chunks.problem is not None:
            raise self._chunks.problem
        if self.whole:
            self._end(None, reusable=not self._surplus)

    def _end(self, error: Exception | None, *, reusable: bool = False) -> None:
        done = self._done
        assert done is not None
        self._heads = self._chunks = None
        sender = self._sender
        # An answer that came before all of the request had left is its connection's last.
        self.reusable = reusable and self._keep_alive and sender.rest is None and not sender.paused
        sender.rest = None
        if error is None:
            done.set_result(True)
        else:
            done.set_exception(error)
